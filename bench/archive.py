"""Reader of newc cpio archives, the counterpart of `muster.host.cpio`: what a segment really holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muster.host import process
from muster.host.cpio import ALIGN

HEADER = 110
MAGIC = b"070701"
LAST = "TRAILER!!!"


@dataclass(frozen=True)
class Member:
    """One name in the archive and its bytes."""

    name: str
    data: bytes


def read_extra(file: Path) -> list[Member]:
    """The members of the modules that only some roots need."""
    return list(_members(process.run(["gzip", "-dc", file]).stdout))


def read_segment(file: Path) -> list[Member]:
    """The members of a zstd-compressed segment, with the padding behind it."""
    # the zeros up to 512 bytes are no zstd frame: zstd says so after it has written everything
    plain = process.run(["zstd", "-dcq", file], check=False).stdout
    return list(_members(plain))


def _members(plain: bytes) -> Iterator[Member]:
    """Raises ValueError where the archive is damaged or ends early."""
    at = 0
    while True:
        head = plain[at : at + HEADER]
        if len(head) < HEADER or not head.startswith(MAGIC):
            raise ValueError(f"no cpio header at byte {at}")
        size, name_size = (int(head[place : place + 8], 16) for place in (54, 94))
        name = plain[at + HEADER : at + HEADER + name_size - 1].decode()
        at = _aligned(at + HEADER + name_size)
        if name == LAST:
            return
        yield Member(name, plain[at : at + size])
        at = _aligned(at + size)


def _aligned(place: int) -> int:
    return place + -place % ALIGN
