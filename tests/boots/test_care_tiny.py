"""A node that takes care of itself, with a real kernel: the image's own early overrides, a blank disk that it is told
to make, a full upper layer and orders; and what of an edited tree a running node does not see.
"""

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from muster.host import process
from tests.boots import direct
from tests.boots.direct import MAC, Guest, Lines, Tiny, machine, promised, told
from tests.boots.ganesha import Ganesha
from tests.node.webserver import Request, Server, blob, serving

pytestmark = [pytest.mark.boot, pytest.mark.soak]

INIT = """#!/bin/sh
echo "care: init runs, fstab is $(cat /etc/fstab)"
while read -r line; do sh -c "$line"; done
"""
MIB = 1 << 20


@dataclass
class Controller:
    """Answers heartbeats as a controller does: held, and at once when there is something to say."""

    server: Server
    says: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> None:
        until = time.monotonic() + (0 if "wait=0" in request.path else 20)
        while not self.says and time.monotonic() < until:
            time.sleep(0.05)
        said = self.says.pop(0) if self.says else ""
        request.reply(200, f"sequence\t1\n{said}".encode())

    def until(self, true: Callable[[list[tuple[str, str]]], object]) -> list[tuple[str, str]]:
        """The first heartbeat from now on for which that is true."""
        seen, end = len(told(self.server)), time.monotonic() + 60
        while time.monotonic() < end:
            for lines in told(self.server)[seen:]:
                if true(lines):
                    return lines
            time.sleep(0.1)
        raise AssertionError(f"no such heartbeat; the last were {told(self.server)[-3:]}")

    def order(self, name: str, word: str) -> tuple[int, list[str]]:
        """Status and lines of an order's result."""
        self.says.append(f"order\t{name} {word}\n")
        lines = self.until(lambda lines: ("order", name) in lines)
        return int(dict(lines)["status"]), [value for key, value in lines if key == "line"]

    def troubles(self) -> list[str]:
        """As the next heartbeat tells them."""
        self.says += ["", ""]
        self.until(lambda lines: dict(lines)["state"] == "ready")
        return [value for key, value in self.until(bool) if key == "trouble"]


def make_tree(root: Path) -> None:
    """An image with early overrides for the machine, one of them damaged."""
    for name in ("bin", "sbin", "etc/overlays", "var/lib/app", "tmp", "data", "usr/bin"):
        (root / name).mkdir(parents=True)
    process.run(["cp", "/bin/busybox", root / "bin/busybox"])
    (root / "bin/sh").symlink_to("busybox")
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)
    for name in ("etc/fstab", "etc/gone", "etc/hello", "var/lib/app/data"):
        (root / name).write_text("image")
    (root / "data/big").write_bytes(bytes(range(256)) * 16384)
    overlays = root / "etc/overlays"
    archive = packed({"etc/fstab": b"archive", "etc/.wh.gone": b"", "etc/hello": b"archive", "var/lib/early": b"yes"})
    (overlays / f"{MAC}.1.tgz").write_bytes(archive)
    (overlays / f"{MAC}.2.tgz").write_bytes(archive[:-20])
    (overlays / MAC / "etc").mkdir(parents=True)
    (overlays / MAC / "etc/fstab").write_text("folder")


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("care") / "root"
    make_tree(root)
    return root


@pytest.fixture(scope="module")
def tiny(tree: Path) -> Tiny:
    return direct.make_tiny(direct.kernel_tree(), tree, tree.parent)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def serve(server: Server, tiny: Tiny, changes: Lines) -> Controller:
    """A controller that gives this plan."""
    laid = direct.overlay()
    extra: Lines = promised("extra", tiny.extra, f"http://10.0.2.2:{server.server_port}/extra")
    direct.serve(server, tiny, laid, first=direct.plan(server, tiny, laid, {**extra, **changes}))
    controller = Controller(server)
    server.answers["/extra"] = [blob(tiny.extra)]
    server.answers["/heartbeat"] = [controller]
    return controller


DISK: Lines = {
    "upper": "8m",
    "disk.make": "serial:d0 32m",
    "disk.scratch": "scratch /scratch",
    "disk.swap": "swap",
    "var": "disk",
    "tmp": "tmpfs 4m",
}


def test_a_blank_disk_is_made_once_and_used_at_each_boot(tiny: Tiny, server: Server, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    process.run(["truncate", "-s", "300M", disk])
    devices = ("-drive", f"file={disk},if=none,id=d,format=raw", "-device", "virtio-blk-pci,drive=d,serial=d0")
    kits = direct.kit_lines(server, tiny, "verity", "disk")
    controller = serve(server, tiny, {**DISK, "kit": kits})
    with machine(tiny, server, tmp_path, devices=devices) as console:
        said = console.wait("care: init runs", 120)
        early_overrides(said)
        assert "disk vda is blank: making 32 MiB of swap and 268 MiB of scratch on it" in said
        guest = Guest(console)
        placed(guest)
        assert guest("cat /var/lib/early /var/lib/app/data") == "yesimage"
        guest("echo job >/scratch/result; echo old >/var/old; sync")
        assert controller.troubles() == [warning()]
    assert [m for _, status, m in direct.reports(server) if status == "warning"] == [warning()]
    table = process.run(["sfdisk", "-d", disk]).text

    controller = serve(server, tiny, {**DISK, "kit": kits})
    (tmp_path / "second").mkdir()
    with machine(tiny, server, tmp_path / "second", devices=devices) as console:
        said = console.wait("care: init runs", 120)
        assert "is blank" not in said
        assert "emptying /scratch/.muster/var" in said
        guest = Guest(console)
        placed(guest)
        assert guest("cat /scratch/result; ls /var") == "job\nlib  run"
        full_and_freed(guest, controller)
        damaged(guest, controller, tiny)
    assert process.run(["sfdisk", "-d", disk]).text == table


def early_overrides(said: str) -> None:
    assert "care: init runs, fstab is folder" in said
    assert f"early overrides: /etc/overlays/{MAC}.1.tgz" in said
    assert f"warning: {warning()}" in said


def warning() -> str:
    return f"early overrides: /etc/overlays/{MAC}.2.tgz is left out: unexpected end of file"


def placed(guest: Guest) -> None:
    """The overrides lie below the controller's overlay; disk, /var and /tmp are where the plan wants them."""
    assert guest("cat /etc/hello; ls /etc/gone") == "overlayls: /etc/gone: No such file or directory"
    assert guest("cut -d ' ' -f 1 /proc/swaps | tail -n 1; stat -c %a /tmp") == "/dev/vda1\n1777"
    mounts = guest("grep -E ' (/scratch|/var|/tmp) ' /proc/mounts | cut -d ' ' -f 1-4").splitlines()
    assert mounts[0].startswith("/dev/vda2 /scratch ext4 rw,nosuid,nodev")
    assert mounts[1].startswith("muster-var /var overlay rw")
    assert "lowerdir=/run/muster/lower/var,upperdir=/newroot/scratch/.muster/var/upper" in mounts[1]
    assert "size=4096k" in mounts[2]
    assert guest("cat /run/muster/places").splitlines() == [
        *("swap /dev/vda1", "scratch /scratch", "var disk /scratch/.muster/var/upper", "tmp tmpfs /tmp")
    ]


def full_and_freed(guest: Guest, controller: Controller) -> None:
    """A full upper layer stops nothing: it is told, and an order makes room; the controller may give more of it."""
    guest("mkdir -p /root; dd if=/dev/zero of=/var/tmp.1 bs=64k count=4; mkdir /var/log; mv /var/tmp.1 /var/log/app.1")
    guest("dd if=/dev/zero of=/data/fill bs=64k; dd if=/dev/zero of=/tmp/fill bs=64k")
    full = ["the upper layer is full: 8 of 8 MiB", "/tmp is full: 4 of 4 MiB", warning()]
    assert controller.troubles() == full
    status, lines = controller.order("o1", "free")
    assert status == 0
    assert lines[:2] == ["/tmp: freed 4096 KiB", "rotated logs: freed 256 KiB"]
    assert lines[2].startswith("in use: 8192 KiB of 8 MiB")
    assert lines[3] == "the largest files that the node wrote:"
    assert lines[4].endswith(" KiB /data/fill")
    assert controller.troubles() == [full[0], warning()]
    controller.says.append("upper\t16m\n")
    beat = dict(controller.until(lambda lines: dict(lines)["upper-limit"] == "16384"))
    assert (beat["ram-upper"], beat["mode"], beat["image"]) == ("8192", "ram", "tiny@0")
    assert controller.troubles() == [warning()]
    assert guest("/run/muster/free | head -n 1") == "nothing to free: there is nothing that can be made again"
    guest("rm /data/fill")


def damaged(guest: Guest, controller: Controller, tiny: Tiny) -> None:
    """A block of the RAM file that is no longer what was packed is named."""
    image, ram = tiny.image, "/run/muster/ram/root.squashfs"
    place = 4096 * 2 + 100
    guest(f"printf '\\{image[place] ^ 1:03o}' | dd of={ram} bs=1 seek={place} conv=notrunc")
    guest("echo 3 >/proc/sys/vm/drop_caches; cat /data/big >/dev/null; dd if=/dev/mapper/muster-root of=/dev/null")
    assert controller.troubles() == ["image tiny@0: block 2 is damaged", warning()]


LIVE_SECONDS = 30
"""For attributes that are kept, for names that are forgotten, and for an emulated machine."""


def test_an_edited_tree_under_a_running_node(tiny: Tiny, tree: Path, server: Server, tmp_path: Path) -> None:
    """What is written shows, in place or as another file; only what a process holds does not, and that is named."""
    process.run(["cp", "/bin/busybox", tree / "usr/bin/sleep"])
    for name in ("held", "edited", "removed", "own", "same", "unheld"):
        (tree / "data" / name).write_text(name)
    (tmp_path / "blobs").mkdir()
    nfs = Ganesha(tmp_path / "nfs", tmp_path / "blobs", tree)
    nfs.start()
    live: Lines = {
        "mode": "nfs",
        "image": "tiny@live",
        "nfs": f"10.0.2.2 {nfs.port} {tree}",
        "nfs.id": "0" * 32,
        **{key: [] for key in ("root.sha256", "root.size", "root.url", "verity", "kit")},
    }
    controller = serve(server, tiny, live)
    try:
        with machine(tiny, server, tmp_path) as console:
            early_overrides(console.wait("care: init runs", 120))
            guest = Guest(console)
            assert guest("/run/muster/stale; echo $?") == "0"
            hold(guest)
            edit(tree)
            shown(guest)
            named(guest, controller)
            guest("kill -TERM $(cat /run/muster/agent.pid); usleep 900000")
            assert guest("kill -0 $(cat /run/muster/forget.pid)").endswith("No such process")
    finally:
        nfs.stop()


def hold(guest: Guest) -> None:
    """The node makes files its own, and its processes hold others; all names are known to its kernel."""
    guest("echo mine >>/data/own; echo -n changed >/data/same; rm /data/removed; cat /data/unheld /data/absent")
    guest("(/usr/bin/sleep 600 & tail -f /data/held & tail -f /data/edited & tail -f /data/own &) >/dev/null")
    assert "Read-only file system" in guest("echo >/usr/bin/new")
    # what is on a controller is dated in seconds, and the node looks at what is later than its boot
    time.sleep(1.1)


def edit(tree: Path) -> None:
    """As an administrator does: by writing into a file, by putting another in its place, by removing it."""
    for name in ("own", "same", "removed", "edited", "absent"):
        (tree / "data" / name).write_text("changed")
    for name in ("held", "unheld"):
        (tree / "data/new").write_text("replaced")
        (tree / "data/new").rename(tree / "data" / name)
    process.run(["cp", "/bin/busybox", tree / "usr/bin/new"])
    (tree / "usr/bin/new").rename(tree / "usr/bin/sleep")


def soon(guest: Guest, command: str, wanted: str) -> None:
    until = time.monotonic() + LIVE_SECONDS
    while (said := guest(command)) != wanted:
        assert time.monotonic() < until, said


def shown(guest: Guest) -> None:
    soon(guest, "cat /data/edited /data/unheld /data/absent", "changedreplacedchanged")
    assert guest("/usr/bin/sleep 0 && echo a running program can be replaced") == "a running program can be replaced"
    soon(guest, "stat /data/held", "stat: can't stat '/data/held': Stale file handle")


def named(guest: Guest, controller: Controller) -> None:
    """Who holds what; once nobody does, the file is there."""
    pids = guest("pidof sleep; for p in $(pidof tail); do readlink /proc/$p/fd/3 | grep -q held && echo $p; done")
    sleep, tail = pids.split()
    assert controller.order("s1", "stale") == (
        0,
        [
            f"open /data/held {tail} tail",
            f"open /usr/bin/sleep {sleep} sleep",
            *("own /data/own", "own /data/removed"),
        ],
    )
    guest(f"kill {tail} {sleep}")
    soon(guest, "cat /data/held", "replaced")
    assert controller.order("s2", "stale") == (0, ["own /data/own", "own /data/removed"])
