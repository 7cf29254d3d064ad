"""What a running node is and costs: its image and how it holds it, its RAM, what a reboot would change."""

from collections.abc import Mapping

from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.reboot import WORDS, Comparison
from muster.model.cascade import effective
from muster.model.errors import NotFoundError
from muster.model.images import is_live
from muster.model.noderange import fold
from muster.model.objects import Node, Version
from muster.model.world import World

KIB_PER_MIB = 1024


def digest(world: World, boot: Boot) -> str:
    """The whole digest of the version that it runs, or as much as is known of it; a live tree has none."""
    if is_live(boot.image):
        return ""
    version = world.find(Version, boot.image)
    return version.digest if version else boot.image.partition("@")[2]


def ram(boot: Boot) -> int | None:
    """MiB of RAM that it takes, and nothing gives back: image, what it wrote, Muster's own; None if not told."""
    told = [kib for kib in _ram(boot).values() if kib is not None]
    return round(sum(told) / KIB_PER_MIB) if told else None


def upper(boot: Boot) -> str:
    """MiB that are used of its upper layer, and of how many: `12/512`; empty if not told."""
    said = boot.heartbeat
    if said is None or said.ram_upper is None or said.upper_limit is None:
        return ""
    return f"{round(said.ram_upper / KIB_PER_MIB)}/{round(said.upper_limit / KIB_PER_MIB)}"


def document(context: Context, node: Node, boot: Boot) -> dict[str, object]:
    """All of it, for people; `reboot` is by the bytes of its overlay too, and None when it is not known."""
    said = boot.heartbeat
    changes = Comparison(context).exactly(node, boot)
    found: dict[str, object] = {
        "boot": boot.boot,
        "kernel": boot.kernel,
        "mode": boot.mode,
        "running": boot.image,
        "digest": digest(context.world, boot),
    }
    if said is not None and ram(boot) is not None:
        found["ram"] = {what: _mib(kib) for what, kib in _ram(boot).items()} | {"total": f"{ram(boot)} MiB"}
        found["upper"] = {
            "used": _mib(said.ram_upper),
            "limit": _mib(said.upper_limit),
            "wanted": _wanted(context, node),
        }
    found["reboot"] = None if changes is None else [f"{change.word}: {change.text}" for change in changes]
    found["trouble"] = list(boot.troubles)
    return found


def reboots(words: Mapping[str, tuple[str, ...] | None]) -> dict[str, object]:
    """How many nodes a reboot would change, in what; and of how many that is not known. `words` by the node's name."""
    changed = [name for name, found in words.items() if found]
    of: dict[str, list[str]] = {}
    for name in changed:
        for word in words[name] or ():
            of.setdefault(word, []).append(name)
    unknown = [name for name, found in words.items() if found is None]
    return {
        "count": len(changed),
        "changes": [{"what": w, "count": len(of[w]), "nodes": fold(of[w])} for w in WORDS if w in of],
        "unknown": {"count": len(unknown), "nodes": fold(unknown)},
    }


def _ram(boot: Boot) -> dict[str, int | None]:
    """KiB by what takes them."""
    said = boot.heartbeat
    if said is None:
        return {}
    placed = {"placed": said.ram_placed} if said.ram_placed else {}
    return {"image": said.ram_image, "upper": said.ram_upper, "own": said.ram_own} | placed


def _mib(kib: int | None) -> str:
    return "" if kib is None else f"{kib / KIB_PER_MIB:.1f} MiB"


def _wanted(context: Context, node: Node) -> str:
    try:
        return effective(context.world, node).settings.upper_size or ""
    except NotFoundError:
        return ""
