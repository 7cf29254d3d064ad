"""nfs-ganesha under the real supervisor, asked by a client of our own: what listens, what it shows and to whom."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from served import USER, Site
from wait import until

from muster.services import nfs
from muster.services.nfs import Wanted
from muster.services.nfs_ask import NfsError, NfsSession
from muster.store.blobs import Blobs

pytestmark = pytest.mark.root

NAME, PORT = "ganesha-10.77.0.1", 2049
LAB = (IPv4Network("10.77.0.0/24"),)
NOENT, ACCESS = 2, 13
DAC_READ_SEARCH = 1 << 2
CLONE_NEWNET = 0x40000000


class NfsSite(Site):
    """A site whose NFS service can be asked."""

    def want(self, *live: str) -> None:
        """As the app does it."""
        (self.paths.run / nfs.WANTED).write_text(nfs.render(Wanted(LAB, live)))
        self.ask(f"/node/1/command/reload/{NAME}")

    def image(self, name: str) -> Path:
        tree = self.paths.images / name / "tree"
        (tree / "etc").mkdir(parents=True)
        (tree / "etc/shadow").write_text(f"shadow of {name}")
        (tree / "etc/shadow").chmod(0o600)
        self.paths.live_mark(name).touch()
        return tree

    def session(self, source: str = "10.77.0.1") -> NfsSession:
        """A client inside; the socket stays there."""
        made: list[NfsSession] = []

        def enter() -> None:
            with Path(f"/proc/{self.holder}/ns/net").open() as namespace:
                assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0
            made.append(NfsSession("10.77.0.1", PORT, source=source))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    def listening(self) -> list[str]:
        """Every address and port of TCP and UDP on which somebody waits."""
        return [line.split()[4] for line in self.inside("ss", "-Hlntu").splitlines()]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[NfsSite]:
    with ExitStack() as stack:
        made = NfsSite(stack)
        supervisor = made.start(tmp_path / "log")
        try:
            until(lambda: made.states() == ["ready", "ready", "waiting"])
            yield made
        finally:
            supervisor.kill()
            supervisor.wait()
            until(lambda: made.processes() == [])


def ready(site: NfsSite, starts: int = 1) -> None:
    until(lambda: site.child(NAME)["state"] == "ready" and site.child(NAME)["starts"] == starts)


def refused(call: Callable[[], bytes]) -> int:
    with pytest.raises(NfsError) as caught:
        call()
    return caught.value.status


def test_it_runs_only_when_wanted_and_listens_on_one_port_alone(site):
    before = site.listening()
    assert site.child(NAME)["state"] == "waiting"
    site.want()
    ready(site)
    assert sorted(site.listening()) == sorted([*before, f"[::ffff:10.77.0.1]:{PORT}"])
    status = Path(f"/proc/{site.child(NAME)['pid']}/status").read_text()
    words = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(words["Uid"].split()) == {str(USER)}
    assert {int(words[each], 16) for each in ("CapEff", "CapPrm", "CapBnd")} == {DAC_READ_SEARCH}
    assert words["NoNewPrivs"] == "1"
    (site.paths.run / nfs.WANTED).unlink()
    site.ask(f"/node/1/command/stop/{NAME}")
    until(lambda: site.child(NAME)["state"] == "stopped")
    assert sorted(site.listening()) == sorted(before)
    site.want()
    ready(site, starts=2)


def test_blobs_and_opened_trees_are_read_by_declared_networks_alone(site):
    blob = Blobs(site.paths.blobs).put_bytes(b"a squashfs")
    closed = site.paths.blobs / "sha256/closed"
    closed.write_text("not for nobody")
    closed.chmod(0o600)
    site.image("debian12")
    (site.paths.images / "shut/tree").mkdir(parents=True)
    site.want("debian12", "shut")
    ready(site)
    blobs, live = nfs.blobs_folder(site.paths), nfs.live_folder(site.paths, "debian12")
    with site.session() as node:
        assert node.read(node.find(f"{blobs}/{blob.sha256}"), 2, 100) == b"squashfs"
        assert node.read(node.find(f"{live}/etc/shadow"), 0, 100) == b"shadow of debian12"
        assert refused(lambda: node.read(node.find(f"{blobs}/closed"), 0, 100)) == ACCESS
        for path in (site.paths.store, "/etc/passwd", nfs.live_folder(site.paths, "shut")):
            assert refused(lambda path=path: node.find(str(path))) == NOENT
    site.inside("ip", "address", "add", "192.0.2.1/32", "dev", "muster0")
    with site.session("192.0.2.1") as stranger:
        assert refused(lambda: stranger.find(f"{blobs}/{blob.sha256}")) == NOENT


def test_a_killed_server_is_back_at_once_and_knows_the_handles(site):
    blob = Blobs(site.paths.blobs).put_bytes(b"a squashfs")
    site.image("debian12")
    site.want("debian12")
    ready(site)
    with site.session() as node:
        blob_handle = node.find(f"{nfs.blobs_folder(site.paths)}/{blob.sha256}")
        live_handle = node.find(f"{nfs.live_folder(site.paths, 'debian12')}/etc/shadow")
    start = time.monotonic()
    os.kill(site.child(NAME)["pid"], signal.SIGKILL)
    ready(site, starts=2)
    with site.session() as node:
        assert node.read(blob_handle, 0, 100) == b"a squashfs"
        assert node.read(live_handle, 0, 100) == b"shadow of debian12"
    assert time.monotonic() - start < 3


def test_exports_come_and_go_under_running_nodes(site):
    blob = Blobs(site.paths.blobs).put_bytes(b"a squashfs")
    tree = site.image("debian12")
    site.image("rocky9")
    site.want("debian12")
    ready(site)
    debian, rocky = (f"{nfs.live_folder(site.paths, name)}/etc/shadow" for name in ("debian12", "rocky9"))
    with site.session() as node:
        handle = node.find(f"{nfs.blobs_folder(site.paths)}/{blob.sha256}")
        live = node.find(debian)
        site.want("debian12", "rocky9")
        until(lambda: found(node, rocky))
        assert node.read(live, 0, 100) == b"shadow of debian12"
        site.want("rocky9")
        until(lambda: not found(node, debian))
        assert node.read(handle, 0, 100) == b"a squashfs"
        site.want("debian12")
        until(lambda: found(node, debian))
        assert node.read(live, 0, 100) == b"shadow of debian12"
        (tree / "etc/shadow").write_text("edited")
        assert node.read(live, 0, 100) == b"edited"
        later = Blobs(site.paths.blobs).put_bytes(b"packed later")
        assert node.read(node.find(f"{nfs.blobs_folder(site.paths)}/{later.sha256}"), 0, 100) == b"packed later"
    assert site.child(NAME)["starts"] == 1


def found(node: NfsSession, path: str) -> bool:
    try:
        return bool(node.find(path))
    except NfsError:
        return False


def test_nonsense_from_the_app_leaves_what_is_served(site, tmp_path):
    site.image("debian12")
    site.want("debian12")
    ready(site)
    (site.paths.run / nfs.WANTED).write_text("export /\n")
    site.ask(f"/node/1/command/reload/{NAME}")
    until(lambda: f"{NAME} cannot be configured" in (tmp_path / "log").read_text())
    with site.session() as node:
        assert found(node, f"{nfs.live_folder(site.paths, 'debian12')}/etc/shadow")
    assert site.child(NAME)["starts"] == 1
