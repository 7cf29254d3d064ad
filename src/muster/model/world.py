"""All objects at one revision, immutable, with the indexes by which machines and names are found."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from muster.model.errors import NotFoundError
from muster.model.facts import MachineFacts, canonical_uuid
from muster.model.objects import Image, Machine, MachineKey, Network, Node, Object, Profile, Version

T = TypeVar("T", Node, Profile, Network, Image, Version, Machine)
Key = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One object made, replaced (both set) or removed (`after` None)."""

    kind: str
    name: str
    before: Object | None
    after: Object | None


@dataclass(frozen=True)
class Match:
    """Which node a machine is. `flag` says what did not agree; without node it explains why not."""

    node: Node | None
    flag: str = ""


@dataclass(frozen=True)
class World:
    """A snapshot; `with_changes` makes the next one at a cost that does not parse or check anything again.

    Worlds between which no node's machine or interfaces changed share their indexes, the same objects.
    """

    revision: int = 0
    objects: Mapping[Key, Object] = field(default_factory=dict)
    by_mac: Mapping[str, str] = field(default_factory=dict)
    by_fingerprint: Mapping[str, str] = field(default_factory=dict)
    by_address: Mapping[str, str] = field(default_factory=dict)

    def with_changes(self, changes: Iterable[Change], revision: int) -> "World":
        objects, moving = dict(self.objects), []
        for change in changes:
            if change.after is None:
                objects.pop((change.kind, change.name), None)
            else:
                objects[(change.kind, change.name)] = change.after
            if change.kind == "node" and moves(change):
                moving.append(change)
        if not moving:
            return replace(self, revision=revision, objects=MappingProxyType(objects))
        return World(revision, *(MappingProxyType(index) for index in (objects, *self._indexes(moving))))

    def _indexes(self, moving: Iterable[Change]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        macs, prints, addresses = dict(self.by_mac), dict(self.by_fingerprint), dict(self.by_address)
        for change in moving:
            if isinstance(change.before, Node):
                _unindex(change.before, macs, prints, addresses)
            if isinstance(change.after, Node):
                _index(change.after, macs, prints, addresses)
        return macs, prints, addresses

    def all(self, kind: type[T]) -> Iterator[T]:
        """Every object of one kind, by name."""
        return iter(sorted((o for o in self.objects.values() if isinstance(o, kind)), key=lambda o: o.name))

    def find(self, kind: type[T], name: str) -> T | None:
        found = self.objects.get((kind.model_fields["kind"].default, name))
        return found if isinstance(found, kind) else None

    def get(self, kind: type[T], name: str) -> T:
        """Like find; raises NotFoundError that names kind and object."""
        if (found := self.find(kind, name)) is None:
            word = kind.model_fields["kind"].default
            raise NotFoundError(f"there is no {word} named {name!r}", hint=f"muster {word} list")
        return found

    def match(self, facts: MachineFacts) -> Match:
        """The node that this machine is: fingerprint and MAC agreeing, or the fingerprint alone (flagged).

        A node declared without machine facts is found by MAC. A MAC that contradicts the recorded machine,
        or two candidates, is nobody: never either configuration.
        """
        by_print = self.by_fingerprint.get(facts.fingerprint or "")
        by_mac = {name for mac in facts.macs if (name := self.by_mac.get(mac))}
        if by_print is not None:
            if by_mac - {by_print}:
                return Match(
                    None,
                    f"the machine is {by_print}'s but a MAC is {', '.join(sorted(by_mac - {by_print}))}'s",
                )
            node = self.get(Node, by_print)
            swapped = facts.macs and not by_mac and any(i.mac for i in node.interfaces)
            return Match(node, f"none of the MACs declared for {by_print} is in this machine" if swapped else "")
        if len(by_mac) > 1:
            return Match(None, f"its MACs belong to several nodes: {', '.join(sorted(by_mac))}")
        if not by_mac:
            return Match(None, "")
        node = self.get(Node, by_mac.pop())
        if node.machine is None or not _contradicts(node, facts):
            return Match(node)
        return Match(None, f"a MAC is {node.name}'s but the machine is another one than {node.name}'s")


def declared_facts(key: MachineKey) -> MachineFacts:
    """The facts that a node object declares of its machine."""
    return MachineFacts(uuid=key.uuid, board_serial=key.board_serial, product=key.product)


def _contradicts(node: Node, facts: MachineFacts) -> bool:
    """Whether the node's recorded machine and these facts cannot be the same machine."""
    key = node.machine
    if key is None:
        return False
    if (wanted := canonical_uuid(key.uuid)) is not None and facts.uuid is not None:
        return wanted != facts.canonical_uuid
    if key.board_serial is not None and facts.board_serial is not None:
        return key.board_serial != facts.board_serial or (key.product is not None and key.product != facts.product)
    return False


@dataclass(frozen=True)
class Keys:
    """By what a node is found: its MACs, the fingerprint of its machine if it has one, its addresses."""

    macs: tuple[str, ...]
    fingerprints: tuple[str, ...]
    addresses: tuple[str, ...]


def moves(change: Change) -> bool:
    """Whether a node's keys may differ before and after; making them again costs more than this look."""
    before, after = change.before, change.after
    if not isinstance(before, Node) or not isinstance(after, Node):
        return True
    return before.interfaces != after.interfaces or before.machine != after.machine


def keys_of(node: Node) -> Keys:
    fingerprint = declared_facts(node.machine).fingerprint if node.machine else None
    return Keys(
        tuple(i.mac for i in node.interfaces if i.mac),
        (fingerprint,) if fingerprint else (),
        tuple(i.address.partition("/")[0] for i in node.interfaces if i.address),
    )


def _index(node: Node, macs: dict[str, str], prints: dict[str, str], addresses: dict[str, str]) -> None:
    keys = keys_of(node)
    for index, mine in ((macs, keys.macs), (prints, keys.fingerprints), (addresses, keys.addresses)):
        index.update(dict.fromkeys(mine, node.name))


def _unindex(node: Node, macs: dict[str, str], prints: dict[str, str], addresses: dict[str, str]) -> None:
    keys = keys_of(node)
    for index, mine in ((macs, keys.macs), (prints, keys.fingerprints), (addresses, keys.addresses)):
        for key in mine:
            if index.get(key) == node.name:
                del index[key]
