"""Each root mode with a real kernel: what of an image it keeps, what it says when something is wrong, and that it
starts over from there. One image for all; each boot fails once at its end, so that each mode takes itself back."""

import hashlib
import os
import random
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from muster.host import process
from muster.images import acls, fingerprint
from muster.images.tree import Tree
from tests.boots import direct
from tests.boots.direct import Console, Guest, Lines, Tiny, machine, promised, reports
from tests.boots.ganesha import Ganesha
from tests.node.webserver import Server, blob, serving, text

pytestmark = [pytest.mark.boot, pytest.mark.soak]

INIT = """#!/bin/sh
/bin/busybox mkdir -p /proc /dev
echo "roots: init runs"
while read -r line; do sh -c "$line"; done
"""
MANIFEST = """#!/bin/sh
cd /data || exit
find . | sort | while read -r name; do
    [ -d "$name" ] && links=0 || links=$(stat -c %h "$name")
    stat -c "%N %F %a %u %g %t:%T $links" "$name"
    [ ! -f "$name" ] || md5sum "$name"
    getfattr -h -d -e hex -m '^(security|trusted)[.]' "$name"
    [ -h "$name" ] || getfacl -n -s "$name"
done
"""
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""cap_net_raw+ep, as the kernel keeps it in security.capability (include/uapi/linux/capability.h)."""
UPPER = 8
"""MiB."""


@dataclass
class World:
    """The image in all its forms, and the servers that a machine asks."""

    tree: Path
    tiny: Tiny
    acls: bytes
    server: Server
    nfs: Ganesha
    blobs: Path

    def plan(self, *kits: str, init: str = "/sbin/init", **changes: str | list[str]) -> str:
        """A plan with lines changed (`_` in a key stands for a dot)."""
        base = f"http://10.0.2.2:{self.server.server_port}"
        lines: Lines = {**promised("acls", self.acls, f"{base}/acls"), "init": init, "upper": f"{UPPER}m"}
        lines["kit"] = direct.kit_lines(self.server, self.tiny, "verity", "acl", *kits)
        lines.update({key.replace("_", "."): value for key, value in changes.items()})
        return direct.plan(self.server, self.tiny, b"laid", {**lines, **self._overlay()})

    def nfs_plan(self, mode: str, **changes: str | list[str]) -> str:
        """The same for a mode that reads from the NFS server."""
        base = f"http://10.0.2.2:{self.server.server_port}"
        image = hashlib.sha256(self.tiny.image).hexdigest()
        lines: Lines = {
            "mode": mode,
            "nfs": f"10.0.2.2 {self.nfs.port} {self.blobs}",
            "nfs.file": image,
            "nfs.id": "0123456789abcdef0123456789abcdef",
            "root.url": [],
            **promised("extra", self.tiny.extra, f"{base}/extra"),
        }
        named = {key.replace(".", "_"): value for key, value in lines.items()}
        return self.plan(*(["unpack"] if mode == "tmpfs" else []), **{**named, **changes})

    def serve(self, *plans: str) -> None:
        """The plans in turn: the first with the hello, the last for good."""
        direct.serve(self.server, self.tiny, direct.overlay(), first=plans[0])
        self.server.answers["/plan"] = [text(plan) for plan in plans[1:] or plans]
        self.server.answers["/acls"] = [blob(self.acls)]
        self.server.answers["/extra"] = [blob(self.tiny.extra)]

    @staticmethod
    def _overlay() -> Lines:
        lines = promised("overlay", direct.overlay(), "")
        return {key: value for key, value in lines.items() if not key.endswith(".url")}

    def manifest(self) -> str:
        """What /data of the image is, told by the image's own programs."""
        return process.run(["chroot", self.tree, "/bin/manifest"]).text.strip()


def make_tree(root: Path) -> None:
    for name in ("bin", "sbin", "etc", "var", "data/folder", "data/shared"):
        (root / name).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    for program in ("busybox", "getfattr", "getfacl"):
        install(root, program)
    (root / "bin/sh").symlink_to("busybox")
    for name, script in (("sbin/init", INIT), ("bin/manifest", MANIFEST)):
        (root / name).write_text(script)
        (root / name).chmod(0o755)
    bits = random.Random(1)
    (root / "data/big").write_bytes(bits.randbytes(6 << 20))
    (root / "data/other").write_bytes(bits.randbytes(4 << 20))
    make_attributes(root / "data")


def install(root: Path, program: str) -> None:
    """A program with its libraries, where it looks for them."""
    found = Path(shutil.which(program) or program)
    shutil.copy(found, root / "bin" / program)
    done = process.run(["ldd", found], check=False)
    for word in done.text.split() if done.status == 0 else ():
        if word.startswith("/"):
            (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, root / word[1:])


def make_attributes(data: Path) -> None:
    """All that a file can be; the first name is one with a user attribute, which Linux 6.1's tmpfs refuses."""
    for name in ("aa-noted", "noted", "ping", "owned", "suid", "first", "shared/file", "spaces ü\\n"):
        (data / name).write_text(name)
    os.setxattr(data / "aa-noted", "user.note", b"lost in a tmpfs before Linux 6.6")
    os.setxattr(data / "noted", "trusted.note", b"kept")
    os.setxattr(data / "ping", "security.capability", CAPABILITY)
    os.chown(data / "owned", 1234, 4321)
    (data / "owned").chmod(0o640)
    (data / "suid").chmod(0o4755)
    (data / "folder").chmod(0o1777)
    os.link(data / "first", data / "folder/second")
    with (data / "sparse").open("wb") as sparse:
        sparse.truncate(4 << 20)
        sparse.seek(2 << 20)
        sparse.write(b"x")
    (data / "link").symlink_to("/nowhere")
    os.lchown(data / "link", 1, 2)
    os.mkfifo(data / "pipe")
    os.mknod(data / "null", 0o020666, os.makedev(1, 3))
    process.run(["setfacl", "-m", "u:1234:rwx,d:g:4321:r-x", data / "shared"])
    process.run(["setfacl", "-m", "u:1234:r--", data / "shared/file", data / "spaces ü\\n"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("roots") / "root"
    make_tree(root)
    return root


@pytest.fixture(scope="module")
def tiny(tree: Path) -> Tiny:
    return direct.make_tiny(direct.kernel_tree(), tree, tree.parent)


@pytest.fixture
def world(tree: Path, tiny: Tiny, tmp_path: Path) -> Iterator[World]:
    image = Tree(tree)
    text = acls.read(image, fingerprint.survey(image).acl)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / hashlib.sha256(tiny.image).hexdigest()).write_bytes(tiny.image)
    nfs = Ganesha(tmp_path / "nfs", blobs, tree)
    with serving() as server:
        try:
            yield World(tree, tiny, text, server, nfs, blobs)
        finally:
            nfs.stop()


def booted(console: Console) -> Guest:
    said = console.wait("roots: init runs", 120)
    assert "handover: the image has no program /sbin/absent" in said
    return Guest(console)


def test_ram_finds_a_flipped_bit_and_never_gives_wrong_data(world: World, tmp_path: Path) -> None:
    world.serve(world.plan(init="/sbin/absent"), world.plan())
    with machine(world.tiny, world.server, tmp_path) as console:
        guest = booted(console)
        assert guest("grep -c '^/dev/mapper/muster-root /run/muster/lower squashfs ro' /proc/mounts") == "1"
        assert guest("cat /run/muster/mode /run/muster/verity") == "ram\n7:0 tiny@0"
        assert guest("manifest") == world.manifest()
        assert guest("dd if=/dev/zero of=/fill bs=1M count=16; ls -s /fill | cut -d ' ' -f 1") != ""
        assert int(guest("df -k / | tail -n 1").split()[1]) == UPPER << 10
        guest("rm /fill")

        block = world.tiny.image.index((world.tree / "data/big").read_bytes()[1 << 20 :][:4096]) + 100
        flip(guest, block, world.tiny.image[block])
        guest("echo 3 >/proc/sys/vm/drop_caches")
        assert "Input/output error" in guest("cat /data/big >/dev/null")
        assert f"verity: 7:0: data block {block // 4096} is corrupted" in guest("dmesg")
        pieces = guest("dd if=/data/big bs=128k count=4 2>/dev/null | md5sum").split()[0]
        assert pieces == md5((world.tree / "data/big").read_bytes()[: 512 << 10])
        assert guest("md5sum </data/other").split()[0] == md5((world.tree / "data/other").read_bytes())
    assert "warning" not in [status for _, status, _ in reports(world.server)]


def flip(guest: Guest, place: int, byte: int) -> None:
    """One bit of the RAM file."""
    ram = "/run/muster/ram/root.squashfs"
    guest(f"printf '\\{byte ^ 1:03o}' | dd of={ram} bs=1 seek={place} conv=notrunc")


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_tmpfs_keeps_all_that_a_file_can_be(world: World, tmp_path: Path) -> None:
    world.nfs.start()
    unpacked = str(16 << 20)
    world.serve(
        world.nfs_plan("tmpfs", root_unpacked=str(4 << 30)),
        world.nfs_plan("tmpfs", root_unpacked=unpacked, init="/sbin/absent"),
        world.nfs_plan("tmpfs", root_unpacked=unpacked),
    )
    with machine(world.tiny, world.server, tmp_path) as console:
        guest = booted(console)
        assert "the unpacked image needs 4096 MiB of memory, this machine has" in console.text
        assert guest("grep -c '^root / tmpfs' /proc/mounts") == "1"
        assert guest("manifest") == world.manifest()
        assert int(guest("du -k /data/sparse").split()[0]) <= 128  # one block of the squashfs
        assert guest("cat /run/muster/mode") == "tmpfs"
        assert guest("grep -E ' nfs4? |mapper|loop' /proc/mounts; ls /dev/mapper /sys/block/loop0/loop") == (
            "ls: /sys/block/loop0/loop: No such file or directory\n/dev/mapper:\ncontrol"
        )
        lost = "1 user attributes of files are not there: this kernel's tmpfs refuses them"
        assert guest("cat /run/muster/warnings") == f"root: {lost}"
        limit, used = map(int, guest("df -k / | tail -n 1").split()[1:3])
        assert 0 <= used - (limit - (UPPER << 10)) < 200
        assert "No space left on device" in guest("dd if=/dev/zero of=/fill bs=1M count=16")
        world.nfs.stop()
        assert guest("rm /fill; md5sum </data/other").split()[0] == md5((world.tree / "data/other").read_bytes())
    assert ("root", "warning", f"root: {lost}") in reports(world.server)


def test_nfs_tells_what_is_wrong_and_waits_for_its_server(world: World, tmp_path: Path) -> None:
    good = world.tiny.image
    wrong = world.tiny.table.replace(world.tiny.verity.root_hash, "0" * 64)
    (world.blobs / "short").write_bytes(b"short")
    damaged = bytes([world.tiny.kits["verity"][0] ^ 1]) + world.tiny.kits["verity"][1:]
    world.serve(
        world.nfs_plan("nfs"),
        world.nfs_plan("nfs", nfs=f"10.0.2.2 {world.nfs.port + 1} {world.blobs}"),
        world.nfs_plan("nfs", nfs=f"10.0.2.2 {world.nfs.port} /no/folder"),
        world.nfs_plan("nfs", nfs_file="absent"),
        world.nfs_plan("nfs", nfs_file="short"),
        world.nfs_plan("nfs", verity=wrong),
        world.nfs_plan("nfs", init="/sbin/absent"),
        world.nfs_plan("nfs"),
    )
    world.server.answers["/kit/verity"].insert(0, blob(damaged))
    world.nfs.start()
    with machine(world.tiny, world.server, tmp_path) as console:
        guest = booted(console)
        where = f"nfs: {world.blobs} of 10.0.2.2"
        found, promise = (hashlib.sha256(kit).hexdigest() for kit in (damaged, world.tiny.kits["verity"]))
        refused = next(line for line in console.text.splitlines() if "the root hash of another" in line)
        assert refused.endswith("is corrupted")
        told = [message for _, status, message in reports(world.server) if status == "failed"]
        assert told == [
            f"download: kit verity: damaged: its sha256 is {found}, the plan promised {promise}",
            f"download: nfs: cannot connect to 10.0.2.2 port {world.nfs.port + 1}: Connection refused",
            f"download: nfs: 10.0.2.2 port {world.nfs.port} has no folder /no/folder",
            f"download: {where} has no file absent: the image is not there",
            f"download: {where}: the image has 5 bytes, the plan promised {len(good)}",
            refused.removeprefix("muster: "),
            "handover: the image has no program /sbin/absent",
        ]
        assert guest("manifest") == world.manifest()
        assert guest("cat /run/muster/mode /run/muster/verity") == "nfs\n7:0 tiny@0"
        assert guest("cat /sys/module/nfs/parameters/nfs4_unique_id") == "0123456789abcdef0123456789abcdef"

        guest("echo 3 >/proc/sys/vm/drop_caches")
        world.nfs.stop()
        waiting = guest.begin("md5sum </data/other")
        time.sleep(3)
        assert f"=end {waiting}=" not in console.text
        world.nfs.start()
        assert guest.finish(waiting, 60).split()[0] == md5((world.tree / "data/other").read_bytes())


def test_live_shows_an_edit_of_the_tree(world: World, tmp_path: Path) -> None:
    world.nfs.start()
    live: Lines = {
        "nfs": f"10.0.2.2 {world.nfs.port} {world.tree}",
        "image": "tiny@live",
        **{key: [] for key in ("nfs_file", "root_sha256", "root_size", "verity", "kit", "acls_url", "acls_sha256")},
    }
    world.serve(world.nfs_plan("nfs", **{**live, "init": "/sbin/absent"}), world.nfs_plan("nfs", **live))
    with machine(world.tiny, world.server, tmp_path) as console:
        guest = booted(console)
        assert guest("stat -c '%u:%g %a' /data/owned; cat /data/noted") == "1234:4321 640\nnoted"
        assert guest("cat /run/muster/mode; ls /run/muster/verity") == (
            "nfs\nls: /run/muster/verity: No such file or directory"
        )
        (world.tree / "data/noted").write_text("edited")
        guest("sleep 4")
        assert guest("cat /data/noted; echo =mine >/data/noted; cat /data/noted") == "edited=mine"
        assert (world.tree / "data/noted").read_text() == "edited"
    (world.tree / "data/noted").write_text("noted")
