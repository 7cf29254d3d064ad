"""One hash over everything of a tree that a pack carries: two trees with the same one pack to the same bytes."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from muster.images.squashfs import DATA_BLOCK, LOST_ATTRIBUTES, left_out
from muster.images.tree import Tree

PAGE = 4096
LONG_LINK = 128
"""Targets of symbolic links from this length on take a page of a tmpfs (Linux, mm/shmem.c: SHORT_SYMLINK_LEN)."""
_HOLE = bytes(DATA_BLOCK)


@dataclass(frozen=True)
class Survey:
    """What one walk over a tree found. `size` is the sum of file lengths in bytes, hard links counted once.

    Of what a pack puts into the squashfs: `unpacked` is the bytes that it takes in a tmpfs, where hard links and
    holes survive; `acl` the paths whose POSIX ACL a squashfs cannot hold.
    """

    fingerprint: str
    size: int
    unpacked: int
    files: int
    acl: tuple[str, ...]


def survey(tree: Tree) -> Survey:
    """Walk the tree once and read every byte of it."""
    digest, seen = hashlib.sha256(), dict[tuple[int, int], str]()
    size = unpacked = files = 0
    acl: list[str] = []
    for path, status in tree.walk():
        here = tree.root / path
        first = seen.setdefault((status.st_dev, status.st_ino), path)
        attributes = {name: os.getxattr(here, name, follow_symlinks=False) for name in _attributes(here)}
        packed = not left_out(path)
        acl += [path] if packed and any(name in LOST_ATTRIBUTES for name in attributes) else []
        if first == path:
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
            content, pages = _content(here, status)
            unpacked += pages * PAGE if packed else 0
        else:
            content = f"link to {first}"
        files += 1
        kept = (status.st_mode, status.st_uid, status.st_gid, int(status.st_mtime))
        digest.update(repr((path, kept, content, sorted(attributes.items()))).encode())
    return Survey(digest.hexdigest(), size, unpacked, files, tuple(acl))


def _attributes(path: Path) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


def _content(path: Path, status: os.stat_result) -> tuple[str, int]:
    """What tells the content, and the pages that it takes in a tmpfs."""
    if stat.S_ISREG(status.st_mode):
        return _file(path, sparse=status.st_blocks * 512 < status.st_size)
    if stat.S_ISLNK(status.st_mode):
        return str(path.readlink()), int(status.st_size >= LONG_LINK)
    return str(status.st_rdev) if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode) else "", 0


def _file(path: Path, *, sparse: bool) -> tuple[str, int]:
    """mksquashfs makes holes of blocks of zeros, but only in a file that has some already."""
    digest, pages = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(DATA_BLOCK):
            digest.update(block)
            pages += -(-len(block) // PAGE) if not sparse or block != _HOLE else 0
    return digest.hexdigest(), pages


def of(parts: tuple[object, ...]) -> str:
    """One hash over plain values."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
