"""Heartbeats that are held until there is something to tell: an order, or another size of the node's upper layer.

Ten thousand of them may be held, and a boot storm commits a hundred changes a second: so a change is looked at once,
by the thread that made it, and of the heartbeats only those that it concerns.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field

from muster.controller import node_report
from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.node_plan import NodeRequest
from muster.model.cascade import DEFAULT_PROFILE, Cascade
from muster.model.objects import Node, Profile
from muster.model.world import Change, World
from muster.server.events import Events


@dataclass(eq=False)
class Place:
    """One held heartbeat; `node` is the name that its machine had when it came."""

    boot: Boot
    node: str
    called: asyncio.Event = field(default_factory=asyncio.Event)


class Held:
    """Make it in the event loop that serves; all but what it is told by other threads happens there."""

    def __init__(self, context: Context, events: Events) -> None:
        self._loop = asyncio.get_running_loop()
        self._events = events
        self._of_boot: dict[str, set[Place]] = {}
        self._of_node: dict[str, set[Place]] = {}
        context.orders.subscribe(lambda boot: self._in_loop(self._ordered, boot))
        context.store.follow(self._committed)
        events.at_close(self._release)

    @contextmanager
    def place(self, request: NodeRequest) -> Iterator[Place]:
        """A heartbeat is about to be answered: what comes for its node from here on calls it."""
        place = Place(request.boot, request.node.name if request.node else "")
        mine = ((self._of_boot, place.boot.boot), (self._of_node, place.node))
        for places, key in mine:
            places.setdefault(key, set()).add(place)
        try:
            yield place
        finally:
            for places, key in mine:
                places[key].discard(place)
                if not places[key]:
                    del places[key]

    async def called(self, place: Place, timeout: float) -> bool:
        """Hold it for at most `timeout` seconds; whether something is to be told before they are over."""
        if self._events.closing:
            return False
        try:
            await asyncio.wait_for(place.called.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _committed(self, world: World, changes: Sequence[Change]) -> None:
        nodes, profiles = _resized(changes)
        if nodes or profiles:
            self._in_loop(self._look, world, nodes, profiles)

    def _look(self, world: World, nodes: Set[str], profiles: Set[str]) -> None:
        """Call those of these nodes, and of all that have one of these profiles, whose upper layer is to be resized."""
        cascade = Cascade(world)
        for name in list(self._of_node) if profiles else nodes:
            node = world.find(Node, name)
            if node is None or not (name in nodes or _has_one_of(node, profiles)):
                continue
            wanted = node_report.upper_size(cascade, node)
            for place in self._of_node.get(name, ()):
                if wanted != place.boot.upper_told:
                    place.called.set()

    def _ordered(self, boot: str) -> None:
        for place in self._of_boot.get(boot, ()):
            place.called.set()

    def _release(self) -> None:
        for places in self._of_boot.values():
            for place in places:
                place.called.set()

    def _in_loop(self, what: Callable[..., None], *arguments: object) -> None:
        if not self._events.closing:  # else the loop may be gone
            self._loop.call_soon_threadsafe(what, *arguments)


def _resized(changes: Sequence[Change]) -> tuple[Set[str], Set[str]]:
    """The nodes and profiles whose changes may give an upper layer another size."""
    found: dict[str, set[str]] = {"node": set(), "profile": set()}
    for change in changes:
        if change.kind in found and _upper_settings(change.before) != _upper_settings(change.after):
            found[change.kind].add(change.name)
    return found["node"], found["profile"]


def _upper_settings(item: object) -> tuple[object, ...]:
    profiles = item.profiles if isinstance(item, Node) else None
    return (item.upper_size, profiles) if isinstance(item, Node | Profile) else (None, None)


def _has_one_of(node: Node, profiles: Set[str]) -> bool:
    return DEFAULT_PROFILE in profiles or not profiles.isdisjoint(node.profiles)
