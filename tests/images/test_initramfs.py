"""The segments: what is in them, the same bytes for the same inputs, sizes that a loader likes."""

import os
import stat
import struct
from io import BytesIO
from pathlib import Path

import pytest

from muster.host import cpio, process
from muster.images import initramfs
from muster.model.errors import RequestError

RELEASE = "6.1.0-test"
MODULES = {
    "kernel/drivers/net/ethernet/intel/e1000/e1000.ko": b"firmware=",
    "kernel/drivers/net/tun.ko": b"",
    "kernel/drivers/net/ethernet/mellanox/mlxsw/mlxsw_core.ko": b"",
    "kernel/drivers/scsi/scsi_mod.ko": b"",
    "kernel/drivers/scsi/sd_mod.ko": b"",
    "kernel/lib/deep/helper.ko": b"",
    "kernel/lib/deep/soft.ko": b"",
    "kernel/sound/noise.ko": b"",
}


def unpack(segment: Path, target: Path) -> dict[str, os.stat_result]:
    """By the real cpio, as a kernel would."""
    target.mkdir()
    # zstd complains of the zeros behind its frame, the kernel does not
    plain = process.run(["zstd", "-dcq", segment], check=False).stdout
    process.run(["cpio", "-idm", "--quiet", "--no-preserve-owner"], stdin=plain, cwd=target)
    return {str(p.relative_to(target)): p.lstat() for p in sorted(target.rglob("*"))}


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A folder of modules with an index, enough to choose from."""
    folder = tmp_path / "tree/lib/modules" / RELEASE
    for name in MODULES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    needs = {"kernel/drivers/scsi/sd_mod.ko": "kernel/drivers/scsi/scsi_mod.ko kernel/lib/deep/helper.ko"}
    (folder / "modules.dep").write_text("".join(f"{name}: {needs.get(name, '')}\n" for name in MODULES))
    (folder / "modules.softdep").write_text("# comment\nsoftdep e1000 pre: soft absent\n")
    return folder


def test_drivers_are_chosen_by_folder_with_all_they_need(kernel: Path) -> None:
    assert initramfs.choose(kernel) == [
        "kernel/drivers/net/ethernet/intel/e1000/e1000.ko",
        "kernel/drivers/scsi/scsi_mod.ko",
        "kernel/drivers/scsi/sd_mod.ko",
        "kernel/lib/deep/helper.ko",
        "kernel/lib/deep/soft.ko",
    ]


def test_a_tree_without_that_kernel_is_refused(kernel: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no indexed modules of kernel other"):
        initramfs.modules_segment(kernel.parents[2], "other", tmp_path / "out")


def module(file: Path, firmware: str) -> None:
    """A module as far as modinfo and depmod look: an ELF object (elf(5)) with a section .modinfo."""
    info = f"license=GPL\0alias=pci:v00008086d*\0firmware={firmware}\0".encode()
    names = b"\0.modinfo\0.shstrtab\0.symtab\0.strtab\0"
    symbol = bytes(24)
    data = info + names + bytes(-len(info + names) % 8) + symbol + b"\0"
    at = 64
    offsets = (at, at + len(info), at + len(data) - 25, at + len(data) - 1)
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at + len(data), 0, 64, 0, 0, 64, 5, 2)
    section = struct.Struct("<IIQQQQIIQQ")
    table = bytes(64)
    table += section.pack(1, 1, 2, 0, offsets[0], len(info), 0, 0, 1, 0)
    table += section.pack(10, 3, 0, 0, offsets[1], len(names), 0, 0, 1, 0)
    table += section.pack(20, 2, 0, 0, offsets[2], 24, 4, 1, 8, 24)
    table += section.pack(28, 3, 0, 0, offsets[3], 1, 0, 0, 1, 0)
    file.write_bytes(header + data + table)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    folder = root / "usr/lib/modules" / RELEASE / "kernel/drivers/net/ethernet/intel"
    folder.mkdir(parents=True)
    module(folder / "one.ko", "intel/one.bin")
    module(folder / "two.ko", "intel/two.bin")
    process.run(["xz", folder / "two.ko"])
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib/firmware/intel").mkdir(parents=True)
    (root / "usr/lib/firmware/intel/one.bin.xz").write_bytes(b"microcode")
    (folder.parents[4] / "modules.order").write_text("")
    (folder.parents[4] / "modules.builtin").write_text("")
    process.run(["depmod", "-b", root, RELEASE])
    return root


def test_the_modules_segment(tree: Path, tmp_path: Path) -> None:
    report = initramfs.modules_segment(tree, RELEASE, tmp_path / "modules")
    assert report.modules == ("one", "two")
    assert report.firmware == ("intel/one.bin.xz",)
    assert report.missing_firmware == ("two: intel/two.bin",)
    assert report.size == (tmp_path / "modules").stat().st_size
    assert report.size % 512 == 0
    names = unpack(tmp_path / "modules", tmp_path / "root")
    base = f"lib/modules/{RELEASE}"
    assert f"{base}/kernel/drivers/net/ethernet/intel/two.ko" in names
    assert "lib/firmware/intel/one.bin.xz" in names
    assert "alias pci:v00008086d* two" in (tmp_path / "root" / base / "modules.alias").read_text()
    assert {p.name for p in (tmp_path / "root" / base).glob("modules.*")} == set(initramfs.TABLES)


@pytest.fixture
def nfs_tree(tree: Path) -> Path:
    """As `tree`, with an NFS client that needs one module of its own and one that every root has."""
    base = tree / "usr/lib/modules" / RELEASE
    one = "kernel/drivers/net/ethernet/intel/one.ko"
    needs = {"kernel/fs/nfs/nfsv4.ko": f"kernel/net/sunrpc/sunrpc.ko {one}", "kernel/net/sunrpc/sunrpc.ko": ""}
    for name in (*needs, "kernel/fs/nfs/nfsv3.ko"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        module(base / name, "")
    process.run(["depmod", "-b", tree, RELEASE])
    lines = [line for line in (base / "modules.dep").read_text().splitlines() if line.partition(":")[0] not in needs]
    lines += [f"{name}: {others}" for name, others in needs.items()]
    (base / "modules.dep").write_text("\n".join(lines) + "\n")
    return tree


def test_what_some_roots_need_is_apart_and_in_the_tables(nfs_tree: Path, tmp_path: Path) -> None:
    report = initramfs.modules_segment(nfs_tree, RELEASE, tmp_path / "modules", tmp_path / "extra")
    assert report.modules == ("one", "two")
    unpack(tmp_path / "modules", tmp_path / "root")
    tables = (tmp_path / "root/lib/modules" / RELEASE / "modules.dep").read_text()
    assert all(f"/{name}.ko:" in tables for name in ("one", "two", "nfsv4", "sunrpc"))
    process.run(["busybox", "cpio", "-idm"], stdin=gunzipped(tmp_path / "extra"), cwd=tmp_path / "root")
    found = {p.stem: p for p in (tmp_path / "root/lib/modules").rglob("*.ko")}
    assert found.keys() == {"one", "two", "nfsv4", "sunrpc"}
    again = process.run(["busybox", "cpio", "-it"], stdin=gunzipped(tmp_path / "extra")).text.splitlines()
    assert [Path(name).name for name in again if name.endswith(".ko")] == ["nfsv4.ko", "sunrpc.ko"]


def gunzipped(file: Path) -> bytes:
    return process.run(["busybox", "gunzip", "-c", file]).stdout


def test_a_kernel_that_cannot_do_it_is_told_of(tree: Path, nfs_tree: Path, tmp_path: Path) -> None:
    told = initramfs.modules_segment(nfs_tree, RELEASE, tmp_path / "modules", tmp_path / "extra").lacking
    assert told == ("scratch on a local disk",)
    with (tree / "usr/lib/modules" / RELEASE / "modules.builtin").open("a") as builtin:
        builtin.write("kernel/fs/ext4/ext4.ko\n")
    assert initramfs.modules_segment(tree, RELEASE, tmp_path / "modules").lacking == ()


def test_the_same_tree_gives_the_same_bytes(nfs_tree: Path, tmp_path: Path) -> None:
    initramfs.modules_segment(nfs_tree, RELEASE, tmp_path / "a", tmp_path / "a.extra")
    for file in nfs_tree.rglob("*"):
        os.utime(file, (1, 1), follow_symlinks=False)
    initramfs.modules_segment(nfs_tree, RELEASE, tmp_path / "b", tmp_path / "b.extra")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.extra").read_bytes() == (tmp_path / "b.extra").read_bytes()


def test_firmware_outside_the_tree_is_never_taken(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"of the build machine")
    (tree / "usr/lib/firmware/intel/two.bin").symlink_to(tmp_path / "outside")
    report = initramfs.modules_segment(tree, RELEASE, tmp_path / "modules")
    assert report.missing_firmware == ("two: intel/two.bin",)


@pytest.mark.root
def test_the_node_segment(tmp_path: Path) -> None:
    initramfs.node_segment(tmp_path / "node", release="9.8.7")
    assert (tmp_path / "node").stat().st_size % 512 == 0
    names = unpack(tmp_path / "node", tmp_path / "root")
    assert stat.S_IMODE(names["init"].st_mode) == 0o755
    assert stat.S_IMODE(names["lib/muster/net.sh"].st_mode) == 0o644
    assert stat.S_IMODE(names["lib/muster/lease"].st_mode) == 0o755
    assert (tmp_path / "root/bin/sh").readlink() == Path("busybox")
    assert (tmp_path / "root/etc/muster-release").read_text() == "9.8.7\n"
    console = names["dev/console"]
    assert stat.S_ISCHR(console.st_mode)
    assert console.st_rdev == os.makedev(5, 1)
    assert not [name for name in names if ".shellcheckrc" in name or name.endswith(".py")]


def test_a_dynamic_busybox_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no statically linked busybox"):
        initramfs.node_segment(tmp_path / "node", release="1", busybox=Path("/bin/dash"))


def test_cpio_is_what_the_kernel_reads(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    out = BytesIO()
    cpio.write(out, [cpio.folder("a"), cpio.file("a/b", tmp_path / "f", 0o600), cpio.link("a/l", "b")])
    data = out.getvalue()
    assert data[:6] == b"070701"
    assert len(data) % 512 == 0
    listing = process.run(["cpio", "-itv", "--quiet", "--numeric-uid-gid"], stdin=data).text.splitlines()
    assert [(line.split()[0], line.split()[2], line.split()[8:]) for line in listing] == [
        ("drwxr-xr-x", "0", ["a"]),
        ("-rw-------", "0", ["a/b"]),
        ("lrwxrwxrwx", "0", ["a/l", "->", "b"]),
    ]


def test_the_shell_scripts_pass_shellcheck() -> None:
    scripts = [p for p in initramfs.NODE.iterdir() if p.is_file() and not p.name.startswith(("_", "."))]
    process.run(["shellcheck", "-s", "dash", *scripts])
