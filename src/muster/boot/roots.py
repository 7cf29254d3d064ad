"""What each root needs of the controller beside the image's own files, and its lines of the plan.

`ram` fetches the squashfs; `nfs` reads it, and `tmpfs` unpacks it, from the controller's NFS server. All three read
it through dm-verity. An editable tree (`NAME@live`) is mounted as it is: it changes, so nothing is promised of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from muster.boot.decide import Decision, Run, Wait
from muster.model import kits, urls
from muster.model.objects import Blob, Disk, Placement, Settings

Lines = list[tuple[str, str]]
TMPFS_SIZE = "25%"
SCRATCH, SCRATCH_PATH, SWAP = "scratch", "/scratch", "swap"


@dataclass(frozen=True)
class NfsServer:
    """The controller's NFS server: its port, the folder of all blobs by their sha256, and that of an image's tree."""

    port: int
    blobs: str
    live: Callable[[str], str]


@dataclass(frozen=True)
class Supplies:
    """What the controller has to offer: an NFS server, or the reason `no_nfs`, and kits by name (model/kits.py)."""

    nfs: NfsServer | None = None
    kits: Mapping[str, Blob] = field(default_factory=dict)
    no_nfs: str = ""


@dataclass(frozen=True)
class Asker:
    """The machine that asks: its fingerprint, its running kernel's release, and the URL by which it reaches us."""

    machine: str
    kernel: str
    server: str


def equipped(decision: Decision, supplies: Supplies) -> Decision:
    """The decision, or to wait for what the controller or the version lacks for this root."""
    if not isinstance(decision, Run) or not (reason := _lacking(decision, supplies)):
        return decision
    return Wait(decision.node, f"node {decision.node.name} {reason}", decision.version, decision.effective)


def lines(run: Run, asker: Asker, supplies: Supplies) -> Lines:
    """The plan's lines from its mode to where its writable folders lie. `run` is `equipped`."""
    settings = run.effective.settings
    return [
        ("image", run.image),
        ("mode", _mode(run)),
        *(() if run.live else _squashfs(run, asker)),
        *(_nfs(run, asker, supplies.nfs) if _reads_nfs(run) and supplies.nfs else ()),
        *_extra(run, asker),
        *(("kit", _kit(name, supplies.kits[name], asker)) for name in _kits(run)),
        *_acls(run, asker),
        ("upper", settings.upper_size or "50%"),
        *_placement("tmp", settings.tmp),
        *_placement("var", settings.var),
        *_disk(settings),
    ]


def blob(word: str, what: Blob) -> Lines:
    return [(f"{word}.sha256", what.sha256), (f"{word}.size", str(what.size))]


def _mode(run: Run) -> str:
    return run.effective.settings.root or "ram"


def _reads_nfs(run: Run) -> bool:
    return _mode(run) in ("nfs", "tmpfs")


def _lacking(run: Run, supplies: Supplies) -> str:
    if _reads_nfs(run):
        if supplies.nfs is None:
            return f"has root {_mode(run)}, and this controller serves no NFS: {supplies.no_nfs}"
        if run.version.extra is None:
            again = f"`muster image pack {run.version.image}` makes one that has them"
            return f"has root {_mode(run)}, and {run.version.name} has no modules for it: {again}"
    for name in _kits(run):
        if name not in supplies.kits:
            missing = f"`apt-get install {kits.packages(name)}` and a restart of muster"
            return f"needs programs for its root that this controller does not have: {missing} bring the kit {name}"
    return ""


def _kits(run: Run) -> Iterator[str]:
    disk = run.effective.settings.disk
    if not run.live:
        yield kits.VERITY
        if _mode(run) == "tmpfs":
            yield kits.UNPACK
        if run.version.acls is not None:
            yield kits.ACL
    if disk is not None and disk.make is not None:
        yield kits.DISK


def _kit(name: str, kit: Blob, asker: Asker) -> str:
    return f"{name} {kit.sha256} {kit.size} {urls.blob(asker.server, kit.sha256)}"


def _squashfs(run: Run, asker: Asker) -> Lines:
    root, table = run.version.root, run.version.verity
    found = blob("root", root)
    if _mode(run) == "ram":
        found.append(("root.url", urls.blob(asker.server, root.sha256)))
    if _mode(run) == "tmpfs" and (unpacked := run.version.sizes.get("unpacked")):
        found.append(("root.unpacked", str(unpacked)))
    found.append(("verity", f"{table.data_blocks} {table.hash_start_block} {table.root_hash} {table.salt}"))
    return found


def _nfs(run: Run, asker: Asker, server: NfsServer) -> Lines:
    folder = server.live(run.version.image) if run.live else server.blobs
    found = [("nfs", f"{urlsplit(asker.server).hostname} {server.port} {folder}"), ("nfs.id", asker.machine[:32])]
    return found if run.live else [*found, ("nfs.file", run.version.root.sha256)]


def _extra(run: Run, asker: Asker) -> Lines:
    extra = run.version.extra
    if extra is None or not (_reads_nfs(run) or run.effective.settings.disk is not None):
        return []
    return [*blob("extra", extra), ("extra.url", urls.blob(asker.server, extra.sha256))]


def _acls(run: Run, asker: Asker) -> Lines:
    acls = run.version.acls
    if acls is None or run.live:
        return []
    return [*blob("acls", acls), ("acls.url", urls.blob(asker.server, acls.sha256))]


def _placement(word: str, place: Placement | None) -> Lines:
    if place is None or place.on in (None, "root"):
        return []
    return [(word, f"tmpfs {place.size or TMPFS_SIZE}" if place.on == "tmpfs" else "disk")]


def _disk(settings: Settings) -> Iterator[tuple[str, str]]:
    """Labels that were not set have their default where something needs the partition."""
    disk = settings.disk
    if disk is None:
        return
    if disk.scratch or disk.path or disk.make or _on_disk(settings):
        yield "disk.scratch", f"{disk.scratch or SCRATCH} {disk.path or SCRATCH_PATH}"
    if swap := disk.swap or _made_swap(disk):
        yield "disk.swap", swap
    if disk.make is not None:
        yield "disk.make", f"{disk.make.disk or 'only'} {disk.make.swap_size or '-'}"


def _on_disk(settings: Settings) -> bool:
    return any(place is not None and place.on == "disk" for place in (settings.tmp, settings.var))


def _made_swap(disk: Disk) -> str | None:
    return SWAP if disk.make is not None and disk.make.swap_size else None
