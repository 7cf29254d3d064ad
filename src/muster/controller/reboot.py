"""What a reboot would change on a running node, by content: what its boot was given against what it would be given now.

A listing of many nodes compares digests. Of an overlay the part that all nodes share is compared by its bytes; of the
node's own part what it is made from, and where that differs so many (MOST_RENDERS) are rendered and compared by their
bytes: the rest are `overlay?`. One node alone is always compared by the bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from muster.boot import plan
from muster.boot.decide import Run
from muster.boot.parts import IMAGE, INTERFACES, NAME, PLACEMENT, ROOT, parts
from muster.controller import next_boot, node_plan
from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.given import Given
from muster.controller.next_boot import Ground, NextBoot
from muster.controller.node_context import image_facts, place_of, template_context
from muster.model import kernel_arguments
from muster.model.errors import MusterError
from muster.model.objects import Network, Node

WAIT, KERNEL, DRIVERS, MUSTER, BOOT_FILES = "wait", "kernel", "drivers", "muster", "boot-files"
ARGUMENTS, OVERLAY, PERHAPS_OVERLAY = "arguments", "overlay", "overlay?"

WORDS = (
    *(WAIT, KERNEL, DRIVERS, MUSTER, BOOT_FILES, IMAGE, ROOT, ARGUMENTS),
    *(OVERLAY, PERHAPS_OVERLAY, PLACEMENT, INTERFACES, NAME),
)
"""Every word for what a reboot would change, in the order in which they are told."""

MOST_RENDERS = 16
"""Overlays that are rendered for one listing, at about 4 ms each."""


Place = tuple[str, str | None]
"""The network of a node, by name, and its domain: on these hangs what it sees of the cluster."""


@dataclass(frozen=True, eq=False)
class Compared:
    """What was found for a boot, and of what; `differs` is all but the overlay, `own` what its part would be made from.

    `others`: whether that part was found to have other bytes; None when it was not rendered.
    """

    next: NextBoot
    node: Node
    given: Given
    differs: tuple[str, ...]
    node_parts: Mapping[str, str]
    place: Place
    own: str
    others: bool | None = None


@dataclass(frozen=True)
class Change:
    """One thing that a reboot would change: its word, and what it is for people."""

    word: str
    text: str


def ground(context: Context) -> Ground:
    """What decides now what nodes are given."""
    of_all = (context.world, context.supplies, context.node_segment, context.overlays)
    return Ground(*of_all, context.site, context.cluster)


class Comparison:
    """For one question about any number of nodes."""

    def __init__(self, context: Context, renders: int = MOST_RENDERS) -> None:
        self._context = context
        self._now = context.next_boots.now(ground(context))
        self._renders = renders
        self._cluster: dict[tuple[NextBoot, Place], str] = {}

    def of(self, node: Node, boot: Boot) -> tuple[str, ...] | None:
        """The words for what a reboot would change, none for nothing; None when it is not known what it was given."""
        if boot.given is None:
            return None
        known = boot.compared
        if not isinstance(known, Compared) or not self._still(known, node, boot):
            next = self._now.of(node, boot.architecture)
            if next.composed is None:
                return (WAIT,)
            if not isinstance(known, Compared) or known.next is not next or not self._still(known, node, boot):
                known = boot.compared = self._compared(next, node, boot, boot.given)
        try:
            overlay = self._overlay(known, boot)
        except MusterError:
            return (WAIT,)  # an overlay that cannot be rendered
        return known.differs if not overlay else tuple(_in_order((*known.differs, overlay)))

    def exactly(self, node: Node, boot: Boot) -> list[Change] | None:
        """As `of`, for one node: by the bytes of its overlay, and in words for people."""
        if boot.given is None:
            return None
        next = self._now.of(node, boot.architecture)
        if not isinstance(next.decision, Run) or next.composed is None:
            return [Change(WAIT, getattr(next.decision, "reason", ""))]
        run = next_boot.of_node(next.decision, node)
        differs = _differs(next, parts(plan.node_lines(node)), boot, boot.given)
        try:
            if self._rendered(run, boot) != boot.given.overlay.sha256:
                differs.append(OVERLAY)
        except MusterError as error:
            return [Change(WAIT, f"an overlay cannot be rendered: {error.message}")]
        texts = _texts(next, run, boot, boot.given)
        return [Change(word, texts[word]) for word in _in_order(differs)]

    def _still(self, known: Compared, node: Node, boot: Boot) -> bool:
        return known.node is node and known.given is boot.given and self._now.stands(known.next)

    def _compared(self, next: NextBoot, node: Node, boot: Boot, given: Given) -> Compared:
        """What was found before is taken again as far as it hangs on the node alone, and on what it sees."""
        known = boot.compared if isinstance(boot.compared, Compared) and boot.compared.node is node else None
        node_parts = known.node_parts if known else parts(plan.node_lines(node))
        if known and known.next.sight == next.sight:
            place, own = known.place, known.own
        else:
            place, own = self._own(next, node, boot)
        differs = tuple(_in_order(_differs(next, node_parts, boot, given)))
        return Compared(next, node, given, differs, node_parts, place, own)

    def _own(self, next: NextBoot, node: Node, boot: Boot) -> tuple[Place, str]:
        """The node's place, and of what its own part of the overlay would be made."""
        assert isinstance(next.decision, Run) and next.composed is not None
        run, context = next_boot.of_node(next.decision, node), self._context
        seen, _ = template_context(context.world, context.site, run, _bootif(boot), context.cluster)
        network, domain = place_of(context.world, run, context.cluster)
        return (network.name if network else "", domain), next.composed.own_sources(seen)

    def _overlay(self, known: Compared, boot: Boot) -> str:
        """The word for the overlay, or none."""
        given = known.given.overlay
        if self._shared(known.next, known.place) != given.cluster:
            return OVERLAY
        if known.own == given.own:
            return ""
        if known.others is None:
            if self._renders == 0:
                return PERHAPS_OVERLAY
            self._renders -= 1
            assert isinstance(known.next.decision, Run)
            bytes_now = self._rendered(next_boot.of_node(known.next.decision, known.node), boot)
            known = boot.compared = replace(known, others=bytes_now != given.sha256)
        return OVERLAY if known.others else ""

    def _shared(self, next: NextBoot, place: Place) -> str:
        """The digest of the part of the overlay that nodes of this shape and place share."""
        found = self._cluster.get((next, place))
        if found is None:
            assert isinstance(next.decision, Run) and next.composed is not None
            world, site = self._context.world, self._context.site
            facts = self._context.cluster.facts(world, site, world.find(Network, place[0]), place[1])
            found = next.composed.shared({"image": image_facts(next.decision.version)}, facts).sha256
            self._cluster[next, place] = found
        return found

    def _rendered(self, run: Run, boot: Boot) -> str:
        return node_plan.rendered(self._context, run, boot).sha256


def _differs(next: NextBoot, node_parts: Mapping[str, str], boot: Boot, given: Given) -> list[str]:
    """The words for all but the overlay."""
    now = {**next.parts, **node_parts}
    found = [part for part in now.keys() | given.parts.keys() if now.get(part) != given.parts.get(part)]
    if boot.command_line and next_boot.arguments(boot.command_line) != next.arguments:
        found.append(ARGUMENTS)
    return [*found, *_files(next, boot)]


def _files(next: NextBoot, boot: Boot) -> list[str]:
    """Of what its loader loaded; where that is not known, of the kernel that runs."""
    told = kernel_arguments.argument(boot.command_line, kernel_arguments.CONTENT)
    if not told:
        return [KERNEL] if boot.kernel != next.kernel_release else []
    if told == next.content:
        return []
    if boot.loaded is None or next.loaded is None:
        return [BOOT_FILES]
    files = ((KERNEL, "kernel"), (DRIVERS, "modules"), (MUSTER, "node"))
    return [word for word, name in files if getattr(boot.loaded, name) != getattr(next.loaded, name)]


def _in_order(words: Iterable[str]) -> list[str]:
    return sorted(words, key=WORDS.index)


def _texts(next: NextBoot, run: Run, boot: Boot, given: Given) -> dict[str, str]:
    """What stands behind each word on this node."""
    had = next_boot.arguments(boot.command_line)
    come = [f"+{word}" for word in next.arguments if word not in had]
    gone = [f"-{word}" for word in had if word not in next.arguments]
    kernel = run.version.kernel_release
    return {
        KERNEL: f"{boot.kernel} -> {kernel}" if boot.kernel != kernel else f"another build of {kernel}",
        DRIVERS: f"the drivers of its initramfs, from {run.version.name}",
        MUSTER: "Muster's own part of its initramfs",
        BOOT_FILES: "kernel, drivers or initramfs: what its loader loaded is not here any more",
        IMAGE: f"{given.image} -> {run.image}",
        ROOT: f"{given.mode} -> {run.effective.settings.root}",
        ARGUMENTS: " ".join([*gone, *come]) or "their order",
        OVERLAY: "files of its overlays",
        PLACEMENT: "where /tmp and /var lie, or its disk",
        INTERFACES: "the names of its network interfaces",
        NAME: f"its name -> {run.node.name}",
    }


def _bootif(boot: Boot) -> str | None:
    return boot.facts.macs[0] if boot.facts.macs else None
