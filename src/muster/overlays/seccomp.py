"""A seccomp filter: from its call on, this process can compute, and read and write what is open, and nothing else.

Everything not listed answers EPERM. Numbers: Linux's arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h; the filter's form: include/uapi/linux/{filter,seccomp,audit}.h. On an architecture
that is not listed there is no filter, and the resource limits set by the worker stand alone.
"""

import ctypes
import os
import platform
from collections.abc import Sequence

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
RET_KILL_PROCESS = 0x80000000
RET_EPERM = 0x00050001
RET_ALLOW = 0x7FFF0000
LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
OFFSET_OF_NUMBER = 0
OFFSET_OF_ARCHITECTURE = 4

# What each architecture is called in audit.h, and the column of ALLOWED that is its own.
ARCHITECTURES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}
ALLOWED = (
    ("read", 0, 63),
    ("write", 1, 64),
    ("close", 3, 57),
    ("fstat", 5, 80),
    ("lseek", 8, 62),
    ("mmap", 9, 222),
    ("mprotect", 10, 226),
    ("munmap", 11, 215),
    ("mremap", 25, 216),
    ("madvise", 28, 233),
    ("brk", 12, 214),
    ("rt_sigaction", 13, 134),
    ("rt_sigprocmask", 14, 135),
    ("rt_sigreturn", 15, 139),
    ("sched_yield", 24, 124),
    ("setitimer", 38, 103),
    ("getpid", 39, 172),
    ("gettid", 186, 178),
    ("getrusage", 98, 165),
    ("futex", 202, 98),
    ("restart_syscall", 219, 128),
    ("clock_gettime", 228, 113),
    ("getrandom", 318, 278),
    ("exit", 60, 93),
    ("exit_group", 231, 94),
)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def only_compute() -> None:
    """Apply the filter to this process, for ever. Raises OSError when the kernel refuses it."""
    if platform.machine() not in ARCHITECTURES:
        return
    audit, column = ARCHITECTURES[platform.machine()]
    instructions = _filter(audit, [int(call[column]) for call in ALLOWED])
    program = _Program(len(instructions), instructions)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _filter(audit: int, numbers: Sequence[int]) -> "ctypes.Array[_Instruction]":
    count = len(numbers)
    steps = [
        (LOAD_WORD, 0, 0, OFFSET_OF_ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, audit),
        (RETURN, 0, 0, RET_KILL_PROCESS),
        (LOAD_WORD, 0, 0, OFFSET_OF_NUMBER),
        *((JUMP_IF_EQUAL, count - place, 0, number) for place, number in enumerate(numbers)),
        (RETURN, 0, 0, RET_EPERM),
        (RETURN, 0, 0, RET_ALLOW),
    ]
    return (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))


def _prctl(option: int, first: int, second: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    unsigned = ctypes.c_ulong
    if libc.prctl(option, unsigned(first), unsigned(second), unsigned(0), unsigned(0)):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
