"""Where everything lies: one prefix moves configuration, state and run-time together."""

import os
from dataclasses import dataclass
from pathlib import Path

LIVE_MARK = "live"
"""The name of `Paths.live_mark` in the folder of an image."""


@dataclass(frozen=True)
class Paths:
    """The folders and files of one controller. `prefix` is `/` on a head node, any folder in a lab."""

    prefix: Path = Path("/")

    @classmethod
    def of(cls, prefix: str | Path | None) -> "Paths":
        """From a `--prefix` value; None means MUSTER_PREFIX or `/`."""
        return cls(Path(prefix or os.environ.get("MUSTER_PREFIX") or "/").absolute())

    @property
    def etc(self) -> Path:
        return self.prefix / "etc/muster"

    @property
    def state(self) -> Path:
        return self.prefix / "var/lib/muster"

    @property
    def run(self) -> Path:
        return self.prefix / "run/muster"

    @property
    def cache(self) -> Path:
        return self.prefix / "var/cache/muster"

    @property
    def config(self) -> Path:
        return self.etc / "muster.yaml"

    @property
    def socket(self) -> Path:
        return self.run / "api.sock"

    @property
    def blobs(self) -> Path:
        return self.state / "blobs"

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def tftp(self) -> Path:
        return self.state / "tftp"

    @property
    def dnsmasq(self) -> Path:
        return self.state / "dnsmasq"

    @property
    def nginx(self) -> Path:
        return self.run / "nginx"

    @property
    def ganesha(self) -> Path:
        return self.run / "ganesha"

    @property
    def nfs(self) -> Path:
        """Under the names here nodes mount trees of images."""
        return self.run / "nfs"

    def live_mark(self, image: str) -> Path:
        """The file by which root lets nodes mount the tree of an image."""
        return self.images / image / LIVE_MARK

    @property
    def store(self) -> Path:
        return self.state / "store.db"

    @property
    def boots(self) -> Path:
        return self.state / "boots.db"
