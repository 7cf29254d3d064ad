"""The NFS service: what a controller exports, whose server does it, and where nodes find it. No web imports here.

The app, whom the network talks to, only asks: for networks and for names of images, in a file (`Wanted`). Whoever
runs as root, or may read every file, makes of it what can be meant: the folder of blobs, and trees of images that
root opened with `muster image live`. Everything is read-only.
"""

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

from muster.host.paths import Paths
from muster.model.errors import RequestError

WANTED = "nfs.wanted"
"""The app's file in `Paths.run`. Without it nothing is exported."""

Server = Literal["kernel", "ganesha"]

PACKAGES = "nfs-ganesha nfs-ganesha-vfs"
BLOBS_NUMBER, LAST_NUMBER = 1, 65535
_HEAD = "muster-nfs 1"
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_PLAIN = re.compile(r"/[A-Za-z0-9._/@:+=-]+")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What the app asks for: the networks that may mount, and the images whose trees they may mount too."""

    networks: tuple[IPv4Network, ...]
    live: tuple[str, ...] = ()


@dataclass(frozen=True)
class Export:
    """One folder for some networks; nodes mount it as `seen`.

    `number` is its own for good, for file handles carry it. `whole`: a node's root may read every file of it;
    else everybody is nobody.
    """

    folder: Path
    seen: Path
    number: int
    networks: tuple[IPv4Network, ...]
    whole: bool = False


@dataclass(frozen=True)
class Service:
    """Who serves NFS in this run of `muster serve`, and on which port; `reason` says why nobody does."""

    server: Server | None = None
    port: int = 0
    reason: str = "`nfs: off` in muster.yaml"

    def to_text(self) -> str:
        """As it is handed to the app."""
        return f"{self.server} {self.port}" if self.server else self.reason

    @classmethod
    def from_text(cls, text: str) -> "Service":
        server, _, port = text.partition(" ")
        known: dict[str, Server] = {"kernel": "kernel", "ganesha": "ganesha"}
        if port.isdigit() and server in known:
            return cls(known[server], int(port), "")
        return cls(reason=text) if text else cls()


@dataclass(frozen=True)
class KernelServer:
    """The site's own NFS server in the kernel: its TCP port, and why nodes cannot use it, if they cannot."""

    port: int
    unfit: str = ""


def choose(nfs: str, port: int, kernel: KernelServer | None, *, ganesha: bool) -> Service:
    """Who is to serve: `nfs` and `port` from muster.yaml, the kernel's server if it runs, `ganesha` if installed."""
    if nfs == "off":
        return Service()
    if nfs != "ganesha" and kernel is not None and not kernel.unfit:
        return Service("kernel", kernel.port, "")
    if nfs == "kernel":
        found = kernel.unfit if kernel else "the kernel's NFS server does not run here (systemctl start nfs-server)"
        return Service(reason=f"`nfs: kernel` in muster.yaml, but {found}")
    if kernel is not None and kernel.port == port:
        because = f", and {kernel.unfit}" if kernel.unfit else ""
        return Service(
            reason=f"port {port} is the kernel's NFS server's{because}; give `nfs_port` in muster.yaml another value"
        )
    if not ganesha:
        return Service(reason=f"no NFS server is here: `apt-get install {PACKAGES}` and a restart of muster bring one")
    return Service("ganesha", port, "")


def blobs_folder(paths: Paths) -> Path:
    """The folder of all blobs, each named by its sha256, as nodes mount it."""
    return paths.blobs / "sha256"


def live_folder(paths: Paths, image: str) -> Path:
    """The tree of an image, as nodes mount it; the way to where it really lies is closed."""
    return paths.nfs / image


def exports(paths: Paths, wanted: Wanted) -> tuple[Export, ...]:
    """What `wanted` means on this machine. Run as root: a tree counts only once root has opened it."""
    opened = [name for name in sorted(wanted.live) if paths.live_mark(name).is_file()]
    numbers = _numbers(opened)
    folder = blobs_folder(paths)
    found = [Export(folder, folder, BLOBS_NUMBER, wanted.networks)]
    for name in opened:
        tree = paths.images / name / "tree"
        found.append(Export(tree, live_folder(paths, name), numbers[name], wanted.networks, whole=True))
    for export in found:
        if not _PLAIN.fullmatch(str(export.folder)):
            raise RequestError(f"folder name not usable in an export: {export.folder}", hint="use another --prefix")
    return tuple(found)


def render(wanted: Wanted) -> str:
    """The text of the app's file."""
    return "".join(f"{line}\n" for line in (_HEAD, *_lines(wanted)))


def read(paths: Paths) -> Wanted | None:
    """What the app asks for now; None when it asks for nothing. RequestError for anything odd in its file."""
    path = paths.run / WANTED
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(_LARGEST).decode(errors="replace")
    return _parse(text, str(path))


def _lines(wanted: Wanted) -> Iterator[str]:
    yield from (f"network {network}" for network in wanted.networks)
    yield from (f"live {image}" for image in wanted.live)


def _parse(text: str, where: str) -> Wanted:
    head, *lines = text.splitlines() or [""]
    if head != _HEAD:
        raise RequestError("not what the app writes", where=f"{where}:1")
    networks, live = [], []
    for number, line in enumerate(lines, 2):
        word, _, value = line.partition(" ")
        try:
            if word == "network":
                networks.append(IPv4Network(value))
            elif word == "live" and _IMAGE.fullmatch(value):
                live.append(value)
            else:
                raise ValueError("neither a network nor an image")
        except ValueError as error:
            raise RequestError(str(error), where=f"{where}:{number}") from error
    return Wanted(tuple(networks), tuple(live))


def _numbers(names: Sequence[str]) -> dict[str, int]:
    """A number for each name that does not depend on the others, but for the rare two that meet."""
    taken = {BLOBS_NUMBER}
    found = {}
    for name in names:
        number = zlib.crc32(name.encode()) % LAST_NUMBER + 1
        while number in taken:
            number = number % LAST_NUMBER + 1
        taken.add(number)
        found[name] = number
    return found
