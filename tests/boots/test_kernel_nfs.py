"""Our exports in a real kernel's NFS server, beside those of a site that must stay as they are."""

import base64
import io
import tarfile
import time
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from muster.host.paths import Paths
from muster.services import nfs
from muster.services.child import confined
from muster.services.nfs import Wanted
from muster.services.prepare import Account
from tests.boots.conftest import RunningLab

pytestmark = [pytest.mark.root, pytest.mark.soak]
LAB_OPTIONS = ["--nodes", "1", "--memory", "1536"]

SRC = Path(__file__).parents[2] / "src"
PARTS = ("host/*.py", "model/errors.py", "services/nfs.py", "services/kernel_nfs.py", "**/__init__.py", "__init__.py")
ADDRESS = "10.77.0.11"
NETWORK = IPv4Network("10.77.0.0/24")
PATHS = Paths(Path("/srv/muster"))
# The machine's own root is an overlay, which no kernel exports: rpc.mountd, who names paths to the kernel, is given a
# root on tmpfs in which everything else is the same.
SITE = f"""\
mkdir /nfs
mount -t tmpfs nfs /nfs
mount -t tmpfs srv /srv
for name in usr etc var proc run srv; do mkdir /nfs/$name && mount --rbind /$name /nfs/$name; done
cp -a /bin /sbin /lib /lib64 /nfs
mkdir -p /etc/systemd/system/nfs-mountd.service.d
printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/chroot /nfs /usr/sbin/rpc.mountd\\n' >\
/etc/systemd/system/nfs-mountd.service.d/root.conf
systemctl daemon-reload
mkdir -p /srv/home /srv/lent {PATHS.run} {PATHS.nfs} {PATHS.blobs}/sha256 {PATHS.images}/debian12/tree
chmod 700 {PATHS.images}
echo home >/srv/home/file
echo squashfs >{PATHS.blobs}/sha256/blob
echo closed >{PATHS.blobs}/sha256/closed
echo shadow >{PATHS.images}/debian12/tree/shadow
touch {PATHS.live_mark("debian12")}
chmod 600 {PATHS.blobs}/sha256/closed {PATHS.images}/debian12/tree/shadow
systemctl restart nfs-server
exportfs -o rw,fsid=6,no_subtree_check 10.99.0.0/24:/srv/lent
"""
ARGV = ("python3", "-u", "-m", "muster.services.kernel_nfs", "--prefix", str(PATHS.prefix))
SETTLED = "exports are as wanted"


class Server:
    """The machine, and what runs on it: in a mount namespace of its own, as our unit has one."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab

    def run(self, command: str) -> str:
        return self._lab.ssh(ADDRESS, command).strip()

    def install(self) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for path in {path for pattern in PARTS for path in (SRC / "muster").glob(pattern)}:
                archive.add(path, path.relative_to(SRC))
        self.run(f"mkdir -p /opt/src; echo {base64.b64encode(out.getvalue()).decode()} | base64 -d | tar xzC /opt/src")
        self.run(SITE)

    def want(self, wanted: Wanted | None) -> None:
        file = PATHS.run / nfs.WANTED
        self.run(f"printf '%s' '{nfs.render(wanted)}' >{file}" if wanted else f"rm {file}")

    def start(self) -> None:
        child = confined(ARGV, Account(0, 0), ("sys_admin",))
        words = " ".join(["unshare", "--mount", "--propagation", "slave", *child])
        self.run(f"rm -f /tmp/log; PYTHONPATH=/opt/src setsid {words} >/tmp/log 2>&1 </dev/null &")
        self.until(lambda: SETTLED in self.run("cat /tmp/log"))

    def signal(self, name: str) -> None:
        self.run(f"kill -{name} $(pgrep -x -f '{' '.join(ARGV)}')")

    def ended(self) -> bool:
        return not self.run("pgrep -f [m]uster.services.kernel_nfs || true")

    def exported(self) -> dict[str, str]:
        """Line by path of etab."""
        return {line.split("\t")[0]: line for line in self.run("cat /var/lib/nfs/etab").splitlines()}

    def ask(self, expression: str) -> str:
        return self.run(f"cd /opt/src; python3 -c 'from muster.services.kernel_nfs import *; print({expression})'")

    def until(self, happened: Callable[[], bool], seconds: float = 30) -> None:
        limit = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < limit, f"{self.run('cat /tmp/log /var/lib/nfs/etab')}"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def server(lab: RunningLab) -> Server:
    lab.muster("image", "build", str(Path(__file__).with_name("nfs-server.yaml")))
    lab.muster("image", "pack", "nfs-server", "--compression-level", "3")
    lab.muster("profile", "set", "default", "image=nfs-server", "--yes")
    lab.muster("node", "power", "n1", "on")
    lab.until_ready("n1", seconds=400)
    made = Server(lab)
    made.install()
    return made


BLOBS, LIVE = str(nfs.blobs_folder(PATHS)), str(nfs.live_folder(PATHS, "debian12"))
BOTH = Wanted((NETWORK,), ("debian12",))
HOME, LENT = "/srv/home", "/srv/lent"


def test_the_sites_exports_are_never_touched(server: Server) -> None:
    site = server.exported()
    assert set(site) == {HOME, LENT}
    assert server.ask("found()") == "KernelServer(port=2049, unfit='')"

    server.want(BOTH)
    server.start()
    exported = server.exported()
    assert set(exported) == {HOME, LENT, BLOBS, LIVE}
    assert {path: exported[path] for path in site} == site

    server.run(f"mkdir -p /mnt/b /mnt/l; mount -t nfs4 -o vers=4.2 {ADDRESS}:{BLOBS} /mnt/b")
    server.run(f"mount -t nfs4 -o vers=4.1,rw {ADDRESS}:{LIVE} /mnt/l")
    assert server.run("cat /mnt/b/blob /mnt/l/shadow") == "squashfs\nshadow"
    assert "ermission denied" in server.run("cat /mnt/b/closed 2>&1 || true")
    assert "Read-only file system" in server.run("touch /mnt/l/mine 2>&1 || true")

    # Killed: nodes notice nothing, nor when the site reads its exports again, which forgets those made by hand.
    server.signal("KILL")
    server.until(server.ended)
    server.run("exportfs -r; exportfs -o rw,fsid=6,no_subtree_check 10.99.0.0/24:/srv/lent")
    assert server.exported() == exported
    assert server.run("echo 3 >/proc/sys/vm/drop_caches; cat /mnt/b/blob /mnt/l/shadow") == "squashfs\nshadow"

    # Back, and asked for less.
    server.run("umount /mnt/l")
    server.want(Wanted((NETWORK,)))
    server.start()
    server.until(lambda: set(server.exported()) == {HOME, LENT, BLOBS})
    server.until(lambda: str(PATHS.nfs) not in server.run("cat /proc/mounts"))

    # Somebody takes ours away; a change of mind comes by SIGHUP.
    server.run(f"exportfs -u {NETWORK}:{BLOBS}")
    server.until(lambda: BLOBS in server.exported())
    server.want(BOTH)
    server.signal("HUP")
    server.until(lambda: LIVE in server.exported(), seconds=4)

    # Ended while wanted: they stay. Ended when not wanted any more: they go, and only they.
    server.signal("TERM")
    server.until(server.ended)
    assert set(server.exported()) == {HOME, LENT, BLOBS, LIVE}
    server.start()
    server.want(None)
    server.signal("TERM")
    server.until(server.ended)
    assert server.exported() == site
    assert server.run(f"ls /etc/exports.d; grep {PATHS.nfs} /proc/mounts || true") == ""

    # What a killed one left is taken away by the next start of muster, whoever serves then.
    server.want(BOTH)
    server.start()
    server.signal("KILL")
    server.until(server.ended)
    server.ask(f'withdraw(Paths(Path("{PATHS.prefix}")))')
    assert server.exported() == site

    # What the site has exported itself is the site's.
    server.run(f"exportfs -o ro,fsid=7,no_subtree_check {NETWORK}:{BLOBS}")
    theirs = server.exported()[BLOBS]
    server.start()
    assert "is exported by the site itself: left alone" in server.run("cat /tmp/log")
    server.want(None)
    server.signal("TERM")
    server.until(server.ended)
    assert server.exported() == {**site, BLOBS: theirs}

    server.run("exportfs -o ro,fsid=0 '*:/srv'")
    assert "below its root /srv (fsid=0)" in server.ask("found()")
