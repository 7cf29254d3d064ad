"""A Linux client mounts from nfs-ganesha as the supervisor runs it: through a kill, a reload, and an edit.

Kernel and modules are Debian's cloud kernel's, in a machine that boots nothing of ours.
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from muster.host import cpio, process
from muster.services import nfs
from muster.services.nfs import Wanted
from muster.store.blobs import Blobs
from tests.boots.direct import Console, kernel_tree, release_of

sys.path.append(str(Path(__file__).parents[1] / "services"))
from served import Site
from wait import until

pytestmark = [pytest.mark.boot, pytest.mark.soak]
NAME = "ganesha-10.77.0.1"
NEEDED = ("virtio_pci", "virtio_net", "nfsv4")
PIECE, PIECES = 1 << 20, 8
RECONNECT_SECONDS = 60
INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in {" ".join(NEEDED)}; do modprobe $module; done
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
stty -echo
echo "guest: up"
PS1='' exec sh </dev/ttyS0 >/dev/ttyS0 2>&1
"""


@dataclass
class Guest:
    """A machine beside the server, and its shell."""

    console: Console
    asked: int = 0

    def run(self, command: str, seconds: float = 30) -> str:
        """What a command prints; the shell stays the same one."""
        self.asked += 1
        self.console.type(f'{{ {command}; }} 2>&1; echo "end {self.asked} of $((6 * 7))"')
        text = self.console.wait(f"end {self.asked} of 42", seconds)
        begin = f"end {self.asked - 1} of 42\n" if self.asked > 1 else "job control turned off\n"
        return text.partition(begin)[2].partition(f"end {self.asked} of 42")[0].strip()

    def mount(self, folder: Path, at: str, options: str = "ro") -> str:
        where = f"10.77.0.1:{folder} {at}"
        return self.run(f"mkdir -p {at}; mount -t nfs4 -o vers=4.2,addr=10.77.0.1,hard,actimeo=2,{options} {where}")


@pytest.fixture(scope="module")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """busybox, the modules of an NFS client, and a shell on the serial line."""
    tree = kernel_tree()
    source = tree / "lib/modules" / release_of(tree)
    place = f"lib/modules/{source.name}"
    needs = {line.partition(":")[0]: line.split()[1:] for line in (source / "modules.dep").read_text().splitlines()}
    named = [path for path in needs if Path(path).name.partition(".")[0] in NEEDED]
    files = sorted({*named, *(other for path in named for other in needs[path]), "modules.dep"})
    entries = [cpio.file(f"{place}/{path}", source / path) for path in files]
    entries += [cpio.file("init", INIT.encode(), 0o755), cpio.file("bin/busybox", Path("/bin/busybox"), 0o755)]
    folders = {str(parent) for entry in entries for parent in Path(entry.name).parents if parent.name}
    target = tmp_path_factory.mktemp("nfs-client") / "initramfs"
    with target.open("wb") as file:
        cpio.write(file, [*(cpio.folder(name) for name in sorted({*folders, "proc", "dev"})), *entries])
    return target


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        made = Site(stack)
        supervisor = made.start(tmp_path / "log")
        try:
            until(lambda: made.states() == ["ready", "ready", "waiting"], seconds=30)
            yield made
        finally:
            supervisor.kill()
            supervisor.wait()
            until(lambda: made.processes() == [])


@pytest.fixture
def guest(site: Site, initramfs: Path, tmp_path: Path) -> Iterator[Guest]:
    """In QEMU's user network, whose packets come from the site's own address."""
    log, tree = tmp_path / "console.log", kernel_tree()
    argv = [
        *("nsenter", "-t", site.holder_text, "-n"),
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "384", "-no-reboot", "-nodefaults"),
        *("-display", "none", "-kernel", str(tree / f"boot/vmlinuz-{release_of(tree)}")),
        *("-initrd", str(initramfs), "-append", "console=ttyS0 quiet panic=-1"),
        *("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="),
        *("-chardev", f"stdio,id=c,logfile={log},signal=off", "-serial", "chardev:c"),
    ]
    log.touch()
    (tmp_path / "command").write_text(shlex.join(argv) + "\n")
    read, write = os.pipe()
    with (tmp_path / "qemu.log").open("wb") as errors:
        machine = process.start(argv, stdin=read, stdout=errors, stderr=errors)
    os.close(read)
    try:
        made = Guest(Console(log, write))
        made.console.wait("guest: up", seconds=120)
        yield made
    finally:
        os.close(write)
        machine.kill()
        machine.wait()


def want(site: Site, *live: str) -> None:
    (site.paths.run / nfs.WANTED).write_text(nfs.render(Wanted((IPv4Network("10.77.0.0/24"),), live)))
    site.ask(f"/node/1/command/reload/{NAME}")
    until(lambda: site.child(NAME)["state"] == "ready")


def test_a_linux_client(site: Site, guest: Guest) -> None:
    pieces = [bytes([number]) * PIECE for number in range(PIECES)]
    blob = Blobs(site.paths.blobs).put_bytes(b"".join(pieces))
    tree = site.paths.images / "debian12/tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/motd").write_text("as it was\n")
    (tree / "etc/shadow").write_text("for root alone\n")
    (tree / "etc/shadow").chmod(0o600)
    site.paths.live_mark("debian12").touch()
    want(site, "debian12")

    assert guest.mount(nfs.blobs_folder(site.paths), "/blobs") == ""
    assert guest.mount(nfs.live_folder(site.paths, "debian12"), "/live", "rw") == ""
    assert guest.run(f"sha256sum </blobs/{blob.sha256}") == f"{blob.sha256}  -"
    assert guest.run("cat /live/etc/shadow") == "for root alone"
    assert "Read-only file system" in guest.run("touch /live/etc/mine")

    # The server is killed between two reads of an open file.
    guest.run(f"exec 3</blobs/{blob.sha256} 4</live/etc/shadow")
    piece = f"dd bs={PIECE} count=1 <&3 2>/dev/null | tr -s '\\000-\\377' | od -An -tx1"
    assert guest.run(piece) == "00"
    os.kill(site.child(NAME)["pid"], signal.SIGKILL)
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run(piece, seconds=RECONNECT_SECONDS) == "01"
    until(lambda: site.child(NAME)["starts"] == 2)
    assert guest.run("cat <&4") == "for root alone"

    # An export goes under a node that reads another, and comes back under one that has a file of it open.
    guest.run("exec 4</live/etc/shadow")
    want(site)
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run(piece) == "02"
    until(lambda: "tale" in guest.run("ls /live/etc"))
    want(site, "debian12")
    until(lambda: "motd" in guest.run("ls /live/etc"))
    assert guest.run("cat <&4") == "for root alone"
    assert guest.run(piece) == "03"

    # An edit shows within the client's own memory of attributes, and so does a file put in place of another.
    assert guest.run("cat /live/etc/motd") == "as it was"
    (tree / "etc/motd").write_text("as it is, and longer\n")
    until(lambda: guest.run("cat /live/etc/motd") == "as it is, and longer", seconds=5)
    (tree / "etc/new").write_text("another file\n")
    (tree / "etc/new").rename(tree / "etc/motd")
    until(lambda: guest.run("cat /live/etc/motd") == "another file", seconds=5)
    assert site.child(NAME)["starts"] == 2
