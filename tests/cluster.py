"""A small cluster for tests: a clock that stands still, a published version, one network, two nodes, their hellos."""

import hashlib
import itertools
import time
from collections.abc import Iterable
from pathlib import Path

from muster.boot.roots import NfsServer, Supplies
from muster.controller.boots import Boots
from muster.controller.context import Context
from muster.controller.objects import apply
from muster.model.documents import parse
from muster.model.kits import KITS
from muster.model.objects import Blob, Version
from muster.model.world import Change, World
from muster.overlays.library import Overlays
from muster.overlays.render import Renderer
from muster.store.blobs import Blobs
from muster.store.database import Store
from muster.store.timelines import Timelines

KERNEL = "6.1.0-1-amd64"
SERVER = "http://10.77.0.1:9898"
UUID = {"n1": "6ba7b810-9dad-11d1-80b4-00c04fd43001", "n2": "6ba7b810-9dad-11d1-80b4-00c04fd43002"}
MAC = {"n1": "52:54:00:00:00:01", "n2": "52:54:00:00:00:02"}
STRANGER_UUID, STRANGER_MAC = "6ba7b810-9dad-11d1-80b4-00c04fd43099", "52:54:00:00:00:99"
NETWORK: dict[str, object] = {
    "kind": "network",
    "name": "lab",
    "subnet": "10.77.0.0/24",
    "address": "10.77.0.1",
    "interface": "br0",
    "pool": "10.77.0.200-10.77.0.250",
}
SUPPLIES = Supplies(
    NfsServer(2049, "/var/lib/muster/blobs/sha256", lambda image: f"/var/lib/muster/images/{image}/tree"),
    {name: Blob(sha256=hashlib.sha256(name.encode()).hexdigest(), size=size) for size, name in enumerate(KITS, 1000)},
)
PROFILE: dict[str, object] = {"kind": "profile", "name": "compute", "image": "debian"}


class FakeClock:
    """Wall time moves when a test says so; durations are real."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return time.monotonic()


def node(name: str, **fields: object) -> dict[str, object]:
    """The document of n1 or n2, or of another node."""
    known: dict[str, object] = {}
    if name in UUID:
        interface = {"name": "eth0", "mac": MAC[name], "address": f"10.77.0.1{name[1:]}/24"}
        known = {"machine": {"uuid": UUID[name]}, "interfaces": [interface], "profiles": ["compute"]}
    return {"kind": "node", "name": name, **known, **fields}


def world_of(*documents: dict[str, object], based_on: World | None = None) -> World:
    """A world with these objects in it (and those of `based_on`)."""
    before = based_on or World()
    _, changes = apply(before, documents)
    return before.with_changes(changes, before.revision + 1)


PARTS = ("kernel", "modules", "root", "packages", "extra")


def version_document(
    image: str = "debian", kernel: str = KERNEL, blobs: Blobs | None = None, parts: Iterable[str] = PARTS
) -> dict[str, object]:
    """The manifest of a version that has these blobs; with `blobs` their bytes are there too."""

    def blob(what: str) -> dict[str, object]:
        data = f"{image} {kernel} {what}".encode()
        if blobs is not None:
            return blobs.put_bytes(data).model_dump()
        return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

    digest = hashlib.sha256(f"{image} {kernel}".encode()).hexdigest()
    return {
        "kind": "version",
        "name": f"{image}@{digest[:12]}",
        "image": image,
        "digest": digest,
        "distribution": "debian 12",
        "architecture": "x86_64",
        "kernel_release": kernel,
        **{part: blob(part) for part in parts},
        "verity": {"data_blocks": 1, "hash_start_block": 1, "root_hash": "a" * 64, "salt": "-", "data_size": 4096},
        "features": {"init": "systemd", "network": "networkd", "time": "timesyncd"},
        "sizes": {"tree": 5000, "unpacked": 8192},
    }


def published(
    world: World, *, image: str = "debian", kernel: str = KERNEL, parts: Iterable[str] = PARTS, live: bool = False
) -> World:
    """The world with one version, tagged latest."""
    made = parse(version_document(image, kernel, parts=parts))
    assert isinstance(made, Version)
    tagged = parse({"kind": "image", "name": made.image, "tags": {"latest": made.digest[:12]}, "live": live})
    changes = [Change("version", made.name, None, made), Change("image", made.image, None, tagged)]
    return world.with_changes(changes, world.revision + 1)


def cluster(folder: Path, renderer: Renderer, clock: FakeClock) -> Context:
    """A controller's context over real stores in `folder`: n1 and n2 in profile compute, image debian, network lab."""
    from muster.controller.images import register

    folder.mkdir(parents=True, exist_ok=True)
    store, blobs = Store(folder / "store.db", clock), Blobs(folder / "blobs")
    numbers = itertools.count(1)
    context = Context(
        store=store,
        blobs=blobs,
        boots=Boots(Timelines(folder / "boots.db"), clock, lambda: f"{next(numbers):016x}"),
        overlays=Overlays(folder / "overlays", renderer=renderer),
        clock=clock,
        token_key=b"k" * 32,
        node_segment=Blob(sha256="e" * 64, size=5),
        site="test",
        kits=SUPPLIES.kits,
        nfs=SUPPLIES.nfs,
    )
    if not store.world.objects:
        register(context, version_document(blobs=blobs), "latest", "test")
        documents = [NETWORK, PROFILE, node("n1"), node("n2")]
        store.change(lambda w: apply(w, documents), who="test")
    return context


def close(context: Context) -> None:
    context.store.close()
    context.boots.close()


def hello(name: str = "n1", *, kernel: str = KERNEL, boot: int = 1, more: str = "") -> bytes:
    """What n1, n2 or (any other name) the stranger posts; `boot` numbers its kernel's boots."""
    uuid, mac = UUID.get(name, STRANGER_UUID), MAC.get(name, STRANGER_MAC)
    return (
        f"muster-hello\t1\nrelease\t0.1.0\nkernel-boot\t00000000-0000-4000-8000-{boot:012d}\nkernel\t{kernel}\n"
        f"architecture\tx86_64\nfirmware\tuefi\nbootif\t{mac}\naddress\t10.77.0.11/24\nuuid\t{uuid}\n"
        f"vendor\tQEMU\nproduct\tStandard PC\nmemory\t2048000\ncpus\t2\ninterface\teth0 {mac} virtio_net up\n"
        f"stage\tmodules 1.25\nstage\tnetwork 2.5\n{more}"
    ).encode()


def plan_values(text: str) -> dict[str, str]:
    """A plan's lines by key; of repeated keys the last."""
    return dict(line.split("\t", 1) for line in text.splitlines())
