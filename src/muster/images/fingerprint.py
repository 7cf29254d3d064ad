"""One hash over everything of a tree that a pack carries: two trees with the same one pack to the same bytes."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from muster.host.files import sha256_file
from muster.images.squashfs import LOST_ATTRIBUTES
from muster.images.tree import Tree


@dataclass(frozen=True)
class Survey:
    """What one walk over a tree found. `size` is the sum of file lengths in bytes, hard links counted once."""

    fingerprint: str
    size: int
    files: int
    acl: tuple[str, ...]


def survey(tree: Tree) -> Survey:
    """Walk the tree once and read every byte of it; `acl` lists paths whose POSIX ACL a squashfs cannot hold."""
    digest, seen = hashlib.sha256(), dict[tuple[int, int], str]()
    size = files = 0
    acl: list[str] = []
    for path, status in tree.walk():
        here = tree.root / path
        first = seen.setdefault((status.st_dev, status.st_ino), path)
        attributes = {name: os.getxattr(here, name, follow_symlinks=False) for name in _attributes(here)}
        acl += [path] if any(name in LOST_ATTRIBUTES for name in attributes) else []
        if first == path:
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
            content = _content(here, status)
        else:
            content = f"link to {first}"
        files += 1
        kept = (status.st_mode, status.st_uid, status.st_gid, int(status.st_mtime))
        digest.update(repr((path, kept, content, sorted(attributes.items()))).encode())
    return Survey(digest.hexdigest(), size, files, tuple(acl))


def _attributes(path: Path) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


def _content(path: Path, status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode):
        return sha256_file(path)[0]
    if stat.S_ISLNK(status.st_mode):
        return str(path.readlink())
    return str(status.st_rdev) if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode) else ""


def of(parts: tuple[object, ...]) -> str:
    """One hash over plain values."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
