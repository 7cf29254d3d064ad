"""The controller's NFS server for a test, configured by `services/ganesha.py`: on loopback, which a machine in QEMU's
user network reaches as 10.0.2.2."""

import socket
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from muster.host import process
from muster.services import ganesha
from muster.services.nfs import Export

ADDRESS = "127.0.0.1"
NETWORKS = (IPv4Network("127.0.0.0/8"),)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        port: int = taken.getsockname()[1]
        return port


@dataclass
class Ganesha:
    """Exports a folder of blobs, and a tree to edit. It can be stopped and started again."""

    bench: Path
    blobs: Path
    tree: Path
    port: int = field(default_factory=_free_port)
    _running: process.Handle | None = None

    def start(self) -> None:
        config, work = self.bench / "ganesha.conf", self.bench / "work"
        work.mkdir(parents=True, exist_ok=True)
        plugins = ganesha.installed()
        assert plugins is not None, "nfs-ganesha-vfs is missing"
        exports = (
            Export(self.blobs, self.blobs, 1, NETWORKS),
            Export(self.tree, self.tree, 2, NETWORKS, whole=True),
        )
        config.write_text(ganesha.render(ADDRESS, self.port, work, plugins, exports))
        words = ["-F", "-L", self.bench / "log", "-f", config, "-p", self.bench / "pid"]
        self._running = process.start([ganesha.PROGRAM, *words])
        until = time.monotonic() + 30
        while not self._listens():
            assert time.monotonic() < until, (self.bench / "log").read_text()[-3000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """By SIGKILL: nothing is said to the clients."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((ADDRESS, self.port)) == 0
