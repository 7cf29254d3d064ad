"""What nodes would be given if they booted now, worked out once for all that have the same settings."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from muster.boot import ipxe, plan, roots
from muster.boot.content import content
from muster.boot.decide import Decision, Run, Wait, decide_node
from muster.boot.parts import parts
from muster.boot.roots import Asker, Supplies
from muster.controller.given import Loaded
from muster.controller.node_context import ClusterMemory, template_context
from muster.model import kernel_arguments
from muster.model.errors import MusterError
from muster.model.objects import Blob, Machine, Network, Node, Object, Version
from muster.model.world import World
from muster.overlays.library import Composed, Overlays

_OF_THE_WAY = ("initrd", "BOOT_IMAGE", kernel_arguments.SERVER, kernel_arguments.BOOTIF, kernel_arguments.CONTENT)
"""Kernel arguments that say where things come from; what they stand for is compared by itself."""

_NOT_SHARED = frozenset(("kind", "name", "machine", "interfaces", "profiles", "labels", "power", "upper_size"))
"""Fields of a node that decide nothing of its boot, or are looked at for each node."""

Shape = tuple[object, ...]
Sight = tuple[str, str, tuple[Network, ...]]


@dataclass(frozen=True)
class Ground:
    """Everything that is not a node and decides what nodes are given."""

    world: World
    supplies: Supplies
    node_segment: Blob
    overlays: Overlays
    site: str
    cluster: ClusterMemory


@dataclass(frozen=True, eq=False)
class NextBoot:
    """What nodes of one shape would be given; the same object until something of it changes.

    `decision` is that of a node of this shape, without its own name, interfaces and labels. `sight`: all that goes into
    overlays of such nodes beside what is their own.
    """

    decision: Decision
    parts: Mapping[str, str]
    arguments: tuple[str, ...]
    content: str
    loaded: Loaded | None
    kernel_release: str
    composed: Composed | None
    sight: Sight


class NextBoots:
    """What was worked out, kept from one question to the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._world: World | None = None
        self._supplies: Sequence[object] = ()
        self._shared: Sequence[object] = ()
        self._kept: dict[Shape, NextBoot] = {}

    def now(self, ground: Ground) -> "Now":
        """For one question: overlays are read when they are first asked for, and not again for it."""
        supplies = (ground.supplies.nfs, ground.supplies.kits, ground.node_segment)
        with self._lock:
            if self._world is not ground.world or not _same(supplies, self._supplies):
                shared = _shared(ground.world)
                if not _same(supplies, self._supplies) or not _same(shared, self._shared):
                    self._kept = {}
                self._world, self._supplies, self._shared = ground.world, supplies, shared
            return Now(ground, self._kept)


class Now:
    """What nodes would be given at one moment."""

    def __init__(self, ground: Ground, kept: dict[Shape, NextBoot]) -> None:
        self._ground = ground
        self._kept = kept
        self._found: dict[Shape, NextBoot] = {}
        self._standing: set[NextBoot] = set()
        self._composed: dict[Sequence[str], Composed | MusterError] = {}

    def of(self, node: Node, architecture: str) -> NextBoot:
        """What this node would be given on a machine of this architecture."""
        shape = _shape(node, architecture)
        if (found := self._found.get(shape)) is None:
            known = self._kept.get(shape)
            found = known if known and self._is_still(known) else self._made(node, architecture)
            self._found[shape] = self._kept[shape] = found
            self._standing.add(found)
        return found

    def stands(self, found: NextBoot) -> bool:
        """Whether what was found for a node is so now too; False also when nothing of its shape was asked for yet."""
        return found in self._standing

    def _is_still(self, known: NextBoot) -> bool:
        """Whether its overlays' sources are as they were; all else that it was made from is."""
        if not isinstance(known.decision, Run) or known.composed is None:
            return False
        composed = self._compose(known.decision)
        return isinstance(composed, Composed) and composed.digest == known.composed.digest

    def _made(self, node: Node, architecture: str) -> NextBoot:
        bare = node.model_copy(update={"labels": None})
        decision = roots.equipped(decide_node(self._ground.world, bare, architecture), self._ground.supplies)
        composed = self._compose(decision) if isinstance(decision, Run) else None
        if isinstance(decision, Run) and isinstance(composed, MusterError):
            decision = Wait(node, f"an overlay cannot be read: {composed.message}", decision.version)
        if not isinstance(decision, Run) or not isinstance(composed, Composed):
            return NextBoot(decision, {}, (), "", None, "", None, ("", "", ()))
        segment, version = self._ground.node_segment, decision.version
        lines = [*roots.lines(decision, Asker("", version.kernel_release, "http://"), self._ground.supplies)]
        return NextBoot(
            decision,
            parts([*lines, ("init", plan.INIT)]),
            arguments(ipxe.command_line(decision, None, "", segment)),
            content(version, segment),
            loaded(version, segment),
            version.kernel_release,
            composed,
            self._sight(decision, composed),
        )

    def _sight(self, run: Run, composed: Composed) -> Sight:
        """By what templates see of a node that has no name, interface or label of its own; and all networks."""
        world, cluster = self._ground.world, self._ground.cluster
        nobody = replace(run, node=Node(name="x"))
        seen, _ = template_context(world, self._ground.site, nobody, None, cluster)
        return composed.digest, composed.own_sources(seen), cluster.networks(world)

    def _compose(self, run: Run) -> Composed | MusterError:
        names = run.effective.settings.overlays or ()
        if names not in self._composed:
            try:
                self._composed[names] = self._ground.overlays.composed(names)
            except MusterError as error:
                self._composed[names] = error
        return self._composed[names]


def arguments(command_line: str) -> tuple[str, ...]:
    """The words of a kernel's command line, each once, without those that only say where things come from."""
    return tuple(dict.fromkeys(w for w in command_line.split() if w.partition("=")[0] not in _OF_THE_WAY))


def loaded(version: Version, node_segment: Blob) -> Loaded:
    """What the loader loads of this version."""
    return Loaded(version.kernel.sha256, version.modules.sha256, node_segment.sha256)


def of_node(run: Run, node: Node) -> Run:
    """The decision of a shape as that of this node."""
    settings = run.effective.settings
    if node.labels:
        settings = settings.model_copy(update={"labels": {**(settings.labels or {}), **node.labels}})
    return replace(run, node=node, effective=replace(run.effective, node=node, settings=settings))


def _shape(node: Node, architecture: str) -> Shape:
    own = node.model_fields_set - _NOT_SHARED
    return (node.profiles, architecture, *((field, getattr(node, field)) for field in sorted(own)))


def _shared(world: World) -> Sequence[Object]:
    return [item for item in world.objects.values() if not isinstance(item, Node | Machine)]


def _same(some: Sequence[object], others: Sequence[object]) -> bool:
    """Whether they are the very same objects."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
