"""Writer of cpio archives in the kernel's `newc` form, the form of an initramfs.

Source of the format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. The bytes
are a function of the entries alone: owner 0:0, time 0, inode numbers by order.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ALIGN = 4
BLOCK = 512
"""Loaders lose an initrd that follows one of odd size; every segment ends on this boundary."""


@dataclass(frozen=True)
class Entry:
    """One name in the archive. `mode` holds type and permissions; `data` is a file's bytes, or the file
    that holds them, or a symlink's target; `device` the numbers of a device node."""

    name: str
    mode: int
    data: bytes | Path = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, data: bytes | Path, mode: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | mode, data)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def characters(name: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    """A character device node."""
    return Entry(name, stat.S_IFCHR | mode, device=(major, minor))


def write(out: IO[bytes], entries: Iterable[Entry]) -> None:
    """Write the entries and the trailer, padded to 512 bytes. A folder must come before what is in it."""
    size = 0
    for number, entry in enumerate(entries, start=1):
        size += _entry(out, entry, number)
    size += _entry(out, Entry("TRAILER!!!", 0), 0)
    out.write(bytes(-size % BLOCK))


def _entry(out: IO[bytes], entry: Entry, number: int) -> int:
    data = entry.data if isinstance(entry.data, bytes) else entry.data.read_bytes()
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (number, entry.mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    record = head + bytes(-len(head) % ALIGN) + data + bytes(-len(data) % ALIGN)
    out.write(record)
    return len(record)
