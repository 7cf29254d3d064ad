"""Programs packed for nodes: they work from the kit alone, and the same programs give the same bytes."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.host import process
from muster.images import kits
from muster.model.errors import CommandError, NotFoundError
from muster.model.kits import ACL, DISK, KITS, UNPACK, VERITY

PARTITIONS = b"label: gpt\nsize=8MiB, name=swap\nname=scratch\n"


def unpacked(name: str, folder: Path) -> Path:
    """The folder in which busybox's tar, which the nodes have, laid the kit."""
    archive = kits.make(kits.files(name), folder / name)
    (folder / "root").mkdir(exist_ok=True)
    process.run(["busybox", "tar", "-xzf", archive, "-C", folder / "root"])
    return folder / "root"


def run(root: Path, *words: str, stdin: bytes | None = None) -> str:
    """All that a program of the kit says, started as nodes start it, where nothing but the kit and its data is."""
    (loader,) = (root / "kit/lib").glob("ld-linux-*.so.*")
    inside = [f"/kit/lib/{loader.name}", "--library-path", "/kit/lib", f"/kit/bin/{words[0]}", *words[1:]]
    done = process.run(["chroot", root, *inside], stdin=stdin)
    return (done.stdout + done.stderr).decode()


@pytest.mark.tools
@pytest.mark.parametrize("name", KITS)
def test_a_kit_holds_its_programs_and_their_loader(name: str, tmp_path: Path) -> None:
    with tarfile.open(kits.make(kits.files(name), tmp_path / "kit")) as archive:
        names = {member.name for member in archive}
    assert {f"kit/bin/{program.name}" for program in KITS[name]} == {n for n in names if n.startswith("kit/bin/")}
    assert any(n.startswith("kit/lib/ld-linux-") for n in names) and "kit/lib/libc.so.6" in names


@pytest.mark.tools
def test_the_same_programs_give_the_same_bytes(tmp_path: Path) -> None:
    files = kits.files(VERITY)
    first = kits.make(files, tmp_path / "a").read_bytes()
    assert kits.make(dict(reversed(files.items())), tmp_path / "b").read_bytes() == first
    with tarfile.open(tmp_path / "a") as archive:
        for member in archive:
            assert member.isreg() and member.name.startswith("kit/")
            assert (member.uid, member.gid, member.mtime, member.mode) == (0, 0, 0, 0o755)


@pytest.mark.root
def test_unpacking_without_anything_else(tmp_path: Path) -> None:
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/hostname").write_text("n1\n")
    root = unpacked(UNPACK, tmp_path)
    process.run(["mksquashfs", tmp_path / "tree", root / "image", "-comp", "zstd", "-quiet", "-no-progress"])
    run(root, "unsquashfs", "-d", "/out", "/image")
    assert (root / "out/etc/hostname").read_text() == "n1\n"


@pytest.mark.root
def test_acls_without_anything_else(tmp_path: Path) -> None:
    root = unpacked(ACL, tmp_path)
    (root / "data").mkdir()
    run(
        root,
        "setfacl",
        "--restore=-",
        stdin=b"# file: data\n# owner: 0\n# group: 0\nuser::rwx\nuser:1000:rwx\ngroup::r-x\nmask::rwx\nother::---\n\n",
    )
    assert "system.posix_acl_access" in os.listxattr(root / "data")


@pytest.mark.root
def test_partitions_and_file_systems_without_anything_else(tmp_path: Path) -> None:
    root = unpacked(DISK, tmp_path)
    for name in ("disk", "part"):
        with (root / name).open("wb") as file:
            file.truncate(64 << 20)
    run(root, "sfdisk", "/disk", stdin=PARTITIONS)
    assert '"scratch"' in run(root, "sfdisk", "--dump", "/disk")
    run(root, "mkfs.ext4", "-q", "-F", "-L", "scratch", "/part")
    assert "scratch" in process.run(["blkid", "-p", root / "part"]).text


@pytest.mark.root
def test_dmsetup_without_anything_else(tmp_path: Path) -> None:
    """This machine may have no device mapper: only that the program starts and knows what a node asks of it."""
    assert "--addnodeoncreate" in run(unpacked(VERITY, tmp_path), "dmsetup", "help")


def test_a_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kits, "SYSTEM_FOLDERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match=r"sfdisk is missing\n.*apt-get install e2fsprogs fdisk"):
        kits.files(DISK)


@pytest.fixture
def ldd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets ldd(1) say this of every program."""

    def say(text: str) -> None:
        (tmp_path / "ldd").write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
        (tmp_path / "ldd").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return say


@pytest.mark.tools
def test_a_missing_library_is_told(ldd: Callable[[str], None]) -> None:
    ldd("\tlinux-vdso.so.1 (0x00007f0)\n\tlibgone.so.1 => not found\n")
    with pytest.raises(CommandError, match=r"the library libgone\.so\.1 is missing"):
        kits.files(VERITY)


@pytest.mark.tools
def test_libraries_are_those_for_any_processor(tmp_path: Path, ldd: Callable[[str], None]) -> None:
    special = tmp_path / "glibc-hwcaps/x86-64-v3"
    special.mkdir(parents=True)
    for folder in (special, tmp_path):
        (folder / "libz.so.1").write_bytes(b"")
    ldd(f"\tlibz.so.1 => {special}/libz.so.1 (0x00007f0)\n")
    assert kits.files(VERITY)["kit/lib/libz.so.1"] == tmp_path / "libz.so.1"
