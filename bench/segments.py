"""What the two segments of the initramfs hold, by size, and what only some roots fetch: modules and kits.

Needs root, for the image's tree; no machine is started.

    python -m bench.segments [--markdown] [RECIPE ...]      (default: debian12-tiny debian12)

Sizes of groups are compressed each by itself: their sum is larger than the segment, whose compression sees all of it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import muster
from bench import text
from bench.archive import Member, read_extra, read_segment
from muster.host import process
from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.images import build, initramfs, kernel, kits, recipe
from muster.images.progress import silent
from muster.images.tree import Tree
from muster.model.kits import KITS

RECIPES = ("debian12-tiny", "debian12")
LIMITS = {"cloud": 4 * text.MIB, "generic": 12 * text.MIB}
"""Of both segments together, by flavour of Debian's kernel (the task's own limits)."""

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Ethernet: Mellanox", ("drivers/net/ethernet/mellanox/",)),
    ("Ethernet: Broadcom", ("drivers/net/ethernet/broadcom/",)),
    ("Ethernet: Intel", ("drivers/net/ethernet/intel/",)),
    ("Ethernet: QLogic", ("drivers/net/ethernet/qlogic/",)),
    ("Ethernet: Chelsio", ("drivers/net/ethernet/chelsio/",)),
    ("Ethernet: others", ("drivers/net/ethernet/",)),
    ("network: PHY, USB, virtual", ("drivers/net/",)),
    ("InfiniBand", ("drivers/infiniband/",)),
    ("storage: SCSI, SAS, RAID", ("drivers/scsi/", "drivers/message/")),
    ("storage: ATA, NVMe, block", ("drivers/ata/", "drivers/nvme/", "drivers/block/")),
    ("virtual machines: buses", ("drivers/virtio/", "drivers/hv/", "drivers/pci/", "drivers/char/")),
    ("console: USB, keyboards", ("drivers/usb/", "drivers/hid/", "drivers/input/")),
    ("root: squashfs, overlay, device mapper", ("fs/", "drivers/md/")),
)
SHARED = "what those need: net, lib, crypto, others"
FIRMWARE = "firmware"
TABLES = "tables for modprobe"


@dataclass(frozen=True)
class Group:
    """Files of one kind: how many, their bytes, and their bytes when compressed by themselves."""

    name: str
    files: int
    plain: int
    packed: int


@dataclass(frozen=True)
class Segment:
    """A segment by groups; `size` is what goes over the wire."""

    title: str
    groups: tuple[Group, ...]
    size: int


def group_of(name: str) -> str:
    """The group of a file in a modules segment, by its path."""
    if name.startswith("lib/firmware/"):
        return FIRMWARE
    below = name.partition("/kernel/")[2]
    if not below:
        return TABLES
    return next((title for title, starts in GROUPS if below.startswith(starts)), SHARED)


def modules(name: str, workshop: build.Workshop) -> tuple[Segment, Segment]:
    """Modules segment and extra modules of a recipe's image, which is built first if the cache has no tree of it."""
    loaded = recipe.load(recipe.find(name, Paths().etc / "recipes"))
    tree = build.build(workshop, loaded, fresh=False, progress=silent).tree
    release, _ = kernel.choose(Tree(tree))
    out, extra = workshop.images / f"{name}.modules", workshop.images / f"{name}.extra"
    initramfs.modules_segment(tree, release, out, extra)
    members = [member for member in read_segment(out) if member.data]
    order = [*(title for title, _ in GROUPS), SHARED, FIRMWARE, TABLES]
    grouped = [(title, [m for m in members if group_of(m.name) == title]) for title in order]
    groups = tuple(_group(title, found) for title, found in grouped if found)
    more = tuple(_group(Path(member.name).stem, [member]) for member in read_extra(extra) if member.data)
    return (
        Segment(f"modules: {name}, kernel {release}", groups, out.stat().st_size),
        Segment(f"extra, for nfs, tmpfs and local disks: {name}, kernel {release}", more, extra.stat().st_size),
    )


def all_kits(folder: Path) -> Segment:
    """The kits of this machine's programs."""
    groups = []
    for name in KITS:
        found = kits.files(name)
        size = kits.make(found, folder / name).stat().st_size
        groups.append(Group(name, len(found), sum(path.stat().st_size for path in found.values()), size))
    return Segment("kits, each for the roots that need it", tuple(groups), sum(group.packed for group in groups))


def node(folder: Path) -> Segment:
    """The node segment of this release; each file is a group of its own."""
    out = initramfs.node_segment(folder / "node", release=muster.__version__)
    groups = [_group(member.name, [member]) for member in read_segment(out) if member.data]
    return Segment("node", tuple(sorted(groups, key=lambda g: -g.plain)), out.stat().st_size)


def _group(name: str, members: Sequence[Member]) -> Group:
    data = b"".join(member.data for member in members)
    packed = len(process.run(["zstd", "-19", "-T0", "-q", "-c"], stdin=data).stdout)
    return Group(name, len(members), len(data), packed)


def markdown(node_segment: Segment, all_modules: Sequence[Segment], others: Sequence[Segment]) -> str:
    """The node segment, then each modules segment, what only some roots fetch, the totals against their limits."""
    parts = [_shown(segment) for segment in (node_segment, *all_modules, *others)]
    return "\n\n".join([*parts, "### Both segments together\n\n" + _totals(node_segment, all_modules)])


def _shown(segment: Segment) -> str:
    rows = [(g.name, str(g.files), text.size(g.plain), text.size(g.packed)) for g in segment.groups]
    files, plain = sum(g.files for g in segment.groups), sum(g.plain for g in segment.groups)
    rows.append(("**segment**", str(files), text.size(plain), f"**{text.size(segment.size)}**"))
    return f"### Segment {segment.title}\n\n" + text.table(("part", "files", "unpacked", "compressed"), rows)


def _totals(node_segment: Segment, all_modules: Sequence[Segment]) -> str:
    rows = []
    for segment in all_modules:
        limit = LIMITS["cloud" if "cloud" in segment.title else "generic"]
        total = segment.size + node_segment.size
        rows.append((segment.title, text.size(total), text.size(limit), f"{total / limit:.0%}"))
    return text.table(("modules and node", "bytes", "limit", "used"), rows)


def measure(names: Sequence[str]) -> str:
    """Everything, as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        workshop = build.Workshop(Path(folder), Paths().cache, SystemClock())
        found = [modules(name, workshop) for name in names]
        others = [*(extra for _, extra in found), all_kits(Path(folder))]
        return markdown(node(Path(folder)), [segment for segment, _ in found], others)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.segments", description="Contents of the segments by size.")
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    figures = measure(options.recipes)
    print(figures)
    if options.markdown:
        text.keep("segments", figures)


if __name__ == "__main__":
    main()
