"""The machine under the controller: disk, clock, programs, limits of the kernel."""

import ctypes
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import muster
from muster.doctor.finding import Finding, Patient, ok, problem, warning
from muster.host import process
from muster.host.clock import SystemClock
from muster.model.errors import CommandError
from muster.model.objects import Node

SPACE_PROBLEM, SPACE_WARNING = 200_000_000, 5_000_000_000
"""Bytes free: below the first the store soon cannot be written, below the second a pack may not fit."""

INODES_WARNING = 0.05
OPEN_FILES = 65_536
RMEM_WANTED = 1 << 20
STORM_NODES = 200
_STA_UNSYNC = 0x40
_TIMEX_SIZE, _STATUS_AT = 208, 40
"""struct timex of 64-bit Linux (adjtimex(2)): its size, and the offset of `status`."""


@dataclass(frozen=True)
class Program:
    """A program of the distribution; `version` are the words that make it say its version in one line."""

    name: str
    package: str
    version: tuple[str, ...] = ("--version",)
    needed: bool = False


PROGRAMS = (
    Program("nginx", "nginx-light", ("-v",), needed=True),
    Program("dnsmasq", "dnsmasq-base", needed=True),
    Program("setpriv", "util-linux", needed=True),
    Program("unshare", "util-linux", needed=True),
    Program("ip", "iproute2", ("-V",), needed=True),
    Program("busybox", "busybox-static", ("--help",), needed=True),
    Program("zstd", "zstd", needed=True),
    Program("mmdebstrap", "mmdebstrap"),
    Program("mksquashfs", "squashfs-tools", ("-version",)),
    Program("veritysetup", "cryptsetup-bin"),
)


def disk(patient: Patient) -> Iterator[Finding]:
    """Space and inodes of each file system that we write to."""
    seen: set[int] = set()
    for path in (patient.paths.state, patient.paths.blobs, patient.paths.cache, patient.paths.run):
        if not path.is_dir() or path.stat().st_dev in seen:
            continue
        seen.add(path.stat().st_dev)
        yield judge_space(path, os.statvfs(path))


def judge_space(path: Path, found: os.statvfs_result) -> Finding:
    """A file system with these figures (statvfs(3))."""
    free = found.f_bavail * found.f_frsize
    words = f"{free / 1e9:.1f} GB free of {found.f_blocks * found.f_frsize / 1e9:.1f} GB"
    hint = "muster image delete frees what no node needs; or give it a larger disk"
    if free < SPACE_PROBLEM:
        return problem(str(path), words, hint)
    if found.f_files and found.f_favail < INODES_WARNING * found.f_files:
        return warning(str(path), f"{found.f_favail} inodes free of {found.f_files}", "many small files: look for them")
    few = free < SPACE_WARNING and path.parts[1:2] != ("run",)
    return warning(str(path), words, hint) if few else ok(str(path), words)


def clock(_patient: Patient) -> Iterator[Finding]:
    """Synchronised by the kernel's own word (adjtimex(2)), and not before this release was installed."""
    installed = Path(muster.__file__).stat().st_mtime
    if SystemClock().now() < installed:
        yield problem("clock", "it is earlier than the installation of Muster", "set it: nodes take their time from us")
    buffer = ctypes.create_string_buffer(_TIMEX_SIZE)
    ctypes.CDLL(None).adjtimex(buffer)
    if int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little") & _STA_UNSYNC:
        yield warning(
            "clock",
            "not synchronised, says the kernel",
            "apt-get install chrony (with `rtcsync`) or systemctl enable --now systemd-timesyncd",
        )


def programs(_patient: Patient) -> Iterator[Finding]:
    """Present, with their versions."""
    for program in PROGRAMS:
        path = shutil.which(program.name)
        if path is None:
            say = problem if program.needed else warning
            use = "Muster cannot run" if program.needed else "images cannot be built"
            yield say(program.name, f"not on this machine: without it {use}", f"apt-get install {program.package}")
        else:
            yield ok(program.name, f"{path}: {_version(path, program.version)}")


def limits(patient: Patient) -> Iterator[Finding]:
    """Open files, and buffers that hold a storm of booting nodes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        yield warning("open files", f"at most {hard} here", f"LimitNOFILE={OPEN_FILES * 4} in the unit, or ulimit -Hn")
    nodes = sum(1 for _ in patient.world.all(Node)) if patient.world else 0
    buffer = Path("/proc/sys/net/core/rmem_default")
    if nodes >= STORM_NODES and buffer.is_file() and int(buffer.read_text()) < RMEM_WANTED:
        yield warning(
            "net.core.rmem_default",
            f"{buffer.read_text().strip()} bytes: when {nodes} nodes ask for addresses at once, questions are dropped",
            f"sysctl -w net.core.rmem_default={RMEM_WANTED}, and the same line in /etc/sysctl.d/",
        )


def _version(path: str, words: tuple[str, ...]) -> str:
    try:
        said = process.run([path, *words], check=False, timeout=5, env={"LC_ALL": "C"})
    except CommandError as error:
        return error.message
    lines = (said.stdout + b"\n" + said.stderr).decode(errors="replace").split("\n")
    return next((line.strip() for line in lines if line.strip()), "does not say its version")[:100]
