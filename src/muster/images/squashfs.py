"""A tree as a zstd squashfs: same tree, same bytes, on any number of cores (tests/images/test_squashfs.py holds it).

Times of files are content: a tree whose times differ gives other bytes. The file system's own time is the newest of
them, so the clock of this machine never enters.
"""

import fnmatch
from pathlib import Path

from muster.host import process
from muster.images.tree import Tree
from muster.model.errors import CommandError, RequestError

BLOCK = 4096
"""Data and hash blocks of verity; mksquashfs pads to it."""
DATA_BLOCK = 128 << 10
"""What is compressed at once. A block of zeros in a sparse file is a hole again when it is unpacked."""

LEAVE_OUT = (
    "boot/vmlinuz-*",
    "boot/vmlinux-*",
    "boot/initrd.img-*",
    "boot/initramfs-*",
    "boot/System.map-*",
    "vmlinuz",
    "vmlinuz.old",
    "initrd.img",
    "initrd.img.old",
    "proc/*",
    "sys/*",
    "dev/*",
    "run/*",
    "tmp/*",
)
"""A node gets its kernel apart from its root, and its init fills the rest at every boot."""

LOST_ATTRIBUTES = ("system.posix_acl_access", "system.posix_acl_default")
"""mksquashfs stores user., trusted. and security. only (squashfs-tools 4.5, xattr.c); images/acls.py keeps these."""


def left_out(path: str) -> bool:
    """Whether a path of a tree is not in its squashfs, as what matches LEAVE_OUT or lies below it."""
    parts = path.split("/")
    patterns = (pattern.split("/") for pattern in LEAVE_OUT)
    return any(len(parts) >= len(p) and all(map(fnmatch.fnmatchcase, parts, p)) for p in patterns)


def make(tree: Tree, out: Path, *, level: int = 15, memory: str = "512M") -> None:
    """Write the squashfs. `level` is zstd's, 1 to 22; `memory` bounds mksquashfs. RequestError for a bad level."""
    if not 1 <= level <= 22:
        raise RequestError(f"zstd has levels 1 to 22, not {level}")
    newest = max(int(status.st_mtime) for _, status in tree.walk())
    argv = ["mksquashfs", str(tree.root), str(out), "-comp", "zstd", "-Xcompression-level", str(level)]
    argv += ["-b", str(DATA_BLOCK), "-xattrs", "-reproducible", "-noappend", "-no-progress", "-quiet", "-mem", memory]
    done = process.run([*argv, "-wildcards", "-e", *LEAVE_OUT], env={"SOURCE_DATE_EPOCH": str(max(newest, 0))})
    complaints = [line for line in done.stderr.decode(errors="replace").splitlines() if _serious(line)]
    if complaints:
        out.unlink(missing_ok=True)
        raise CommandError("mksquashfs left something out:\n" + "\n".join(complaints[:20]), where=str(tree.root))
    if (size := out.stat().st_size) % BLOCK:
        raise CommandError(f"mksquashfs wrote {size} bytes, no multiple of {BLOCK}", where=str(out))


def _serious(line: str) -> bool:
    """mksquashfs skips what it cannot read, says so and exits 0: any word of it but the known one is an error."""
    return bool(line.strip()) and not line.startswith("Unrecognised xattr prefix system.posix_acl_")
