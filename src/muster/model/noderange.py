"""Node ranges over stored objects: `n[01-16,20]`, `@rack:r1&@state:ready`, `@all!n7` (DESIGN section 7)."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import cached_property

from muster.model.cascade import DEFAULT_PROFILE, labels
from muster.model.errors import RequestError
from muster.model.objects import Node, Profile
from muster.model.ranges.evaluate import evaluate, expand
from muster.model.ranges.grammar import parse
from muster.model.ranges.names import fold, shortened
from muster.model.states import NEVER, STATES
from muster.model.world import World

__all__ = ["expand", "fold", "groups", "select"]

ALL = "all"
STATE = "state"


def select(
    world: World, text: str, states: Mapping[str, str] | None = None, *, may_be_empty: bool = False
) -> list[Node]:
    """The stored nodes of a range, in the order written. NotFoundError names every one that does not exist.

    `states` has the state of each node that has booted, for `@state:ready`. A range that is right and yet has
    no node in it is a RequestError, so that nobody believes to have changed something, unless it `may_be_empty`.
    """
    stored = _Stored(world, states)
    names = evaluate(parse(text), stored)
    if not names and not may_be_empty:
        raise RequestError(f"no node is in {shortened(text)}", hint="muster noderange expand")
    return [stored.nodes[name] for name in names]


def groups(world: World, states: Mapping[str, str]) -> dict[str, list[str]]:
    """Every group that a range can name (without its `@`), and the nodes in it."""
    stored = _Stored(world, states)
    found = {ALL: list(stored.names())}
    found.update((profile.name, list(stored.group("", profile.name) or ())) for profile in world.all(Profile))
    found.update((f"{key}:{value}", nodes) for (key, value), nodes in sorted(stored.by_label.items()))
    found.update((f"{STATE}:{state}", list(stored.group(STATE, state) or ())) for state in STATES)
    return found


class _Stored:
    """The nodes of a world as ranges see them. Indexes are made when a range asks for them."""

    def __init__(self, world: World, states: Mapping[str, str] | None) -> None:
        self._world = world
        self._states = states
        self.nodes = {node.name: node for node in world.all(Node)}

    def names(self) -> Collection[str]:
        return self.nodes

    def group(self, key: str, value: str) -> Collection[str] | None:
        match key:
            case "":
                return self.nodes if value in (ALL, "*") else self._profile(value)
            case "state":
                return self._in_state(value)
            case _:
                return self.by_label.get((key, value))

    def labels(self) -> Mapping[str, Mapping[str, str]]:
        return self._labels

    @cached_property
    def _labels(self) -> dict[str, Mapping[str, str]]:
        return labels(self._world)

    @cached_property
    def by_label(self) -> dict[tuple[str, str], list[str]]:
        index: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for name, own in self._labels.items():
            for pair in own.items():
                index[pair].append(name)
        return dict(index)

    @cached_property
    def _by_profile(self) -> dict[str, list[str]]:
        index: defaultdict[str, list[str]] = defaultdict(list)
        for node in self.nodes.values():
            for profile in dict.fromkeys(node.profiles):
                index[profile].append(node.name)
        return dict(index)

    def _profile(self, name: str) -> Collection[str] | None:
        if self._world.find(Profile, name) is None:
            return None
        return self.nodes if name == DEFAULT_PROFILE else self._by_profile.get(name, ())

    def _in_state(self, state: str) -> list[str] | None:
        if state not in STATES:
            return None
        if (states := self._states) is None:
            raise RequestError("the states of nodes are not known here", where=f"@{STATE}:{state}")
        return [name for name in self.nodes if states.get(name, NEVER) == state]
