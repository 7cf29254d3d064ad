"""The real mksquashfs and veritysetup: what survives, same tree same bytes, one flipped bit is found."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.host import process
from muster.host.files import sha256_file
from muster.images import squashfs, verity
from muster.images.tree import Tree
from muster.model.errors import CommandError, RequestError

Settle = Callable[[Path], None]
CAP_NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""vfs_cap_data of `cap_net_raw=ep` (linux/capability.h)."""


def pack(tree: Path, out: Path, level: int = 3) -> str:
    squashfs.make(Tree(tree), out, level=level)
    return sha256_file(out)[0]


def test_same_tree_same_bytes_on_one_core_and_on_all(tree: Path, tmp_path: Path, settle: Settle) -> None:
    (tree / "var/big").write_bytes(b"".join(i.to_bytes(4, "big") for i in range(500_000)))
    settle(tree)
    cores = os.sched_getaffinity(0)
    first = pack(tree, tmp_path / "a", level=15)
    os.sched_setaffinity(0, {min(cores)})
    try:
        second = pack(tree, tmp_path / "b", level=15)
    finally:
        os.sched_setaffinity(0, cores)
    assert first == second == pack(make_again(tree, tmp_path / "other"), tmp_path / "c", level=15)


def make_again(tree: Path, target: Path) -> Path:
    process.run(["cp", "-a", str(tree), str(target)])
    return target


def test_times_of_files_are_content(tree: Path, tmp_path: Path, settle: Settle) -> None:
    before = pack(tree, tmp_path / "a")
    os.utime(tree / "etc/passwd", (2e9, 2e9))
    assert pack(tree, tmp_path / "b") != before
    settle(tree)
    assert pack(tree, tmp_path / "c") == before


def test_kernel_initrd_and_what_init_fills_are_left_out(tree: Path, tmp_path: Path) -> None:
    for path in ("boot/initrd.img-6.1", "boot/grub/grub.cfg", "run/lock/x", "tmp/x", "proc/x"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()
    pack(tree, tmp_path / "a")
    listed = process.run(["unsquashfs", "-l", tmp_path / "a"]).text.split()
    assert "squashfs-root/boot/grub/grub.cfg" in listed
    assert {"squashfs-root/run", "squashfs-root/tmp", "squashfs-root/proc", "squashfs-root/boot"} <= set(listed)
    assert not [path for path in listed if "vmlinuz" in path or "initrd" in path or path.endswith("/x")]


@pytest.mark.root
def test_owners_modes_capabilities_hard_links_holes_and_devices_survive(tree: Path, tmp_path: Path) -> None:
    ping = tree / "usr/bin/ping"
    ping.write_bytes(b"ping")
    os.setxattr(ping, "security.capability", CAP_NET_RAW)
    os.setxattr(ping, "user.note", b"kept")
    os.link(ping, tree / "usr/bin/ping6")
    os.chown(tree / "etc/shadow", 0, 42)
    (tree / "etc/shadow").chmod(0o640)
    (tree / "usr/bin/sh").chmod(0o4755)
    with (tree / "var/sparse").open("wb") as file:
        file.truncate(64 << 20)
    os.mknod(tree / "dev-null", 0o20666, os.makedev(1, 3))
    pack(tree, tmp_path / "a")
    process.run(["unsquashfs", "-quiet", "-no-progress", "-dest", tmp_path / "out", tmp_path / "a"])
    out = tmp_path / "out"
    assert os.getxattr(out / "usr/bin/ping", "security.capability") == CAP_NET_RAW
    assert os.getxattr(out / "usr/bin/ping", "user.note") == b"kept"
    assert (out / "usr/bin/ping").samefile(out / "usr/bin/ping6")
    shadow = (out / "etc/shadow").stat()
    assert (shadow.st_uid, shadow.st_gid, shadow.st_mode & 0o7777) == (0, 42, 0o640)
    assert (out / "usr/bin/sh").stat().st_mode & 0o7777 == 0o4755
    assert (out / "var/sparse").stat().st_size == 64 << 20
    assert (out / "var/sparse").stat().st_blocks == 0
    assert (out / "dev-null").lstat().st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize("level", [0, 23])
def test_a_level_that_zstd_does_not_have_is_refused(tree: Path, tmp_path: Path, level: int) -> None:
    with pytest.raises(RequestError, match=f"not {level}"):
        squashfs.make(Tree(tree), tmp_path / "a", level=level)


def test_verity_is_fixed_by_the_data_and_finds_every_flipped_bit(tree: Path, tmp_path: Path) -> None:
    (tree / "var/random").write_bytes(os.urandom(300_000))
    pack(tree, tmp_path / "a")
    process.run(["cp", tmp_path / "a", tmp_path / "b"])
    table = verity.append(tmp_path / "a")
    assert verity.append(tmp_path / "b") == table
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size % squashfs.BLOCK == 0
    verity.verify(tmp_path / "a", table)
    for position in (0, table.data_size - 1, table.hash_start_block * squashfs.BLOCK):
        flip(tmp_path / "a", position)
        with pytest.raises(CommandError):
            verity.verify(tmp_path / "a", table)
        flip(tmp_path / "a", position)
    verity.verify(tmp_path / "a", table)


def flip(file: Path, position: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(position)
        byte = opened.read(1)[0]
        opened.seek(position)
        opened.write(bytes([byte ^ 1]))


def test_verity_refuses_what_is_no_whole_block(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    with pytest.raises(CommandError, match="5000 bytes"):
        verity.append(tmp_path / "a")
