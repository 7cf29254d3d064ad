"""Nodes, profiles and networks: made, changed, listed, shown, removed. Pure: (world, request) -> (answer, changes)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from muster.boot.facts import machine_facts
from muster.model import noderange
from muster.model.check import refuse_conflicts
from muster.model.documents import Document, assign, document, made, parse
from muster.model.errors import ConflictError, NotFoundError, RequestError
from muster.model.facts import MachineFacts
from muster.model.objects import DECLARED, KINDS, Machine, Node, Object
from muster.model.world import Change, World

MAX_DOCUMENTS = 200_000
States = Mapping[str, str] | None
"""The states of the nodes that have booted, for ranges such as @state:ready."""


@dataclass(frozen=True)
class Outcome:
    """What a change did or would do: one `VERB KIND NAME` line for each object."""

    lines: tuple[str, ...]
    revision: int


def apply(world: World, documents: Sequence[Mapping[str, object]]) -> tuple[Outcome, list[Change]]:
    """Make or replace each declared object. Raises RequestError or ConflictError and then changes nothing."""
    if len(documents) > MAX_DOCUMENTS:
        raise RequestError(f"more than {MAX_DOCUMENTS} documents at once")
    items = [
        parse(text, f"document {number} ({text.get('kind')} {text.get('name')})")
        for number, text in enumerate(documents, 1)
    ]
    for item in items:
        if item.kind not in DECLARED:
            raise RequestError(f"a {item.kind} is not declared by hand", where=f"{item.kind} {item.name}")
    keys = [(item.kind, item.name) for item in items]
    if len(set(keys)) != len(keys):
        twice = sorted({f"{kind} {name}" for kind, name in keys if keys.count((kind, name)) > 1})
        raise ConflictError(f"given twice: {', '.join(twice)}")
    return _settle(world, items)


def make(world: World, kind: str, names: str, assignments: Mapping[str, str]) -> tuple[Outcome, list[Change]]:
    """New objects of one kind from `key=value` words. ConflictError when one exists already."""
    if kind not in DECLARED:
        raise RequestError(f"a {kind} is not made by hand")
    wanted = noderange.expand(names)
    present = [name for name in wanted if (kind, name) in world.objects]
    if present:
        raise ConflictError(f"{kind} {noderange.fold(present)} exists", hint=f"muster {kind} set changes it")
    return _settle(world, [made(kind, name, assignments) for name in wanted])


def change(
    world: World, kind: str, names: str, assignments: Mapping[str, str], states: States = None
) -> tuple[Outcome, list[Change]]:
    """Lay `key=value` words over existing objects. Raises NotFoundError naming those that do not exist."""
    if kind not in DECLARED:
        raise RequestError(f"a {kind} is not changed by hand")
    return _settle(world, [assign(item, assignments) for item in select(world, kind, names, states)])


def delete(world: World, kind: str, names: str, states: States = None) -> tuple[Outcome, list[Change]]:
    """Remove objects; ConflictError when something still refers to one."""
    if kind not in (*DECLARED, "machine"):
        raise RequestError(f"a {kind} is not removed like this")
    changes = [Change(kind, item.name, item, None) for item in select(world, kind, names, states)]
    refuse_conflicts(world, changes)
    return Outcome(tuple(f"delete {kind} {c.name}" for c in changes), world.revision + 1), changes


def select(world: World, kind: str, names: str, states: States = None) -> list[Object]:
    """The objects of a range; pending machines by a unique start of their fingerprint, or by a MAC."""
    if (only := world.objects.get((kind, names))) is not None:
        return [only]
    if kind == "node":
        return list(noderange.select(world, names, states))
    found, unknown = [], []
    for name in names.split(",") if kind == "machine" else noderange.expand(names):
        matches = _machines(world, name) if kind == "machine" else _named(world, kind, name)
        if not matches:
            unknown.append(name)
        elif len(matches) > 1:
            raise ConflictError(f"{kind} {name} is not unique: {', '.join(m.name[:16] for m in matches)}")
        found.extend(matches)
    if unknown:
        raise NotFoundError(f"there is no {kind} {', '.join(unknown)}", hint=f"muster {kind} list")
    return found


def show(world: World, kind: str, name: str) -> dict[str, object]:
    """One object as a document, with the revision to base a change on."""
    _refuse_unknown(kind)
    found = select(world, kind, name)
    if len(found) != 1:
        raise RequestError(f"one {kind} is wanted, {name!r} is {len(found)}", hint=f"muster {kind} list {name}")
    return {**document(found[0]), "revision": world.revision}


def listing(world: World, kind: str, names: str = "@all") -> list[dict[str, object]]:
    """The objects of a kind as documents, by name; all of them or those of a range."""
    _refuse_unknown(kind)
    items = _of_kind(world, kind) if names == "@all" else select(world, kind, names)
    return [document(item) for item in sorted(items, key=lambda o: o.name)]


def _refuse_unknown(kind: str) -> None:
    if kind not in KINDS:
        raise NotFoundError(f"there is no kind {kind!r}", hint=f"the kinds are {', '.join(KINDS)}")


def _of_kind(world: World, kind: str) -> Iterable[Object]:
    return (item for (of, _), item in world.objects.items() if of == kind)


def _named(world: World, kind: str, name: str) -> list[Object]:
    found = world.objects.get((kind, name))
    return [] if found is None else [found]


def _machines(world: World, word: str) -> list[Object]:
    if ":" in word:
        return [machine for machine in world.all(Machine) if word.lower() in machine.macs]
    return [machine for machine in world.all(Machine) if machine.name.startswith(word)]


def _settle(world: World, items: Sequence[Object]) -> tuple[Outcome, list[Change]]:
    changes, lines = [], []
    for item in items:
        before = world.objects.get((item.kind, item.name))
        if before is not None and document(before) == document(item):  # a default that is said is not one left unsaid
            continue
        changes.append(Change(item.kind, item.name, before, item))
        lines.append(f"{'change' if before else 'add'} {item.kind} {item.name}")
    refuse_conflicts(world, changes)
    return Outcome(tuple(lines), world.revision + bool(changes)), changes


def adopt(world: World, machine: str, name: str, assignments: Mapping[str, str]) -> tuple[Outcome, list[Change]]:
    """Make a pending machine the node `name`: a new one, or one declared so far without a machine.

    ConflictError when the machine would not be recognised as that node afterwards.
    """
    pending = _pending(world, machine)
    known = world.find(Node, name)
    if known is not None and known.machine is not None:
        raise ConflictError(f"node {name} is another machine already", hint=f"muster node show {name}")
    facts = machine_facts(pending.inventory)
    plain: Document = document(known) if known else {"kind": "node", "name": name}
    if key := _machine_key(facts):
        plain["machine"] = key
    if facts.macs:
        plain["interfaces"] = _with_mac(known, facts.macs)
    node = assign(parse(plain), assignments)
    changes = [Change("node", name, known, node), Change("machine", pending.name, pending, None)]
    refuse_conflicts(world, changes)
    found = world.with_changes(changes, world.revision + 1).match(facts)
    if found.node != node:
        why = found.flag or "none of its facts is in the declaration"
        raise ConflictError(f"machine {pending.short} would not be recognised as node {name}: {why}")
    return Outcome((f"adopt machine {pending.short} as node {name}",), world.revision + 1), changes


def _pending(world: World, machine: str) -> Machine:
    found = select(world, "machine", machine)
    if len(found) != 1 or not isinstance(found[0], Machine):
        raise RequestError(f"one machine is wanted, {machine!r} is {len(found)}", hint="muster node pending")
    return found[0]


def _machine_key(facts: MachineFacts) -> dict[str, str]:
    """The facts that make the fingerprint; empty when only its MACs tell the machine."""
    if facts.canonical_uuid and facts.uuid:
        return {"uuid": facts.uuid}
    if facts.board_serial and MachineFacts(board_serial=facts.board_serial).fingerprint:
        return {"board_serial": facts.board_serial} | ({"product": facts.product} if facts.product else {})
    return {}


def _with_mac(known: Node | None, macs: Sequence[str]) -> list[Document]:
    """The declared interfaces; the first that has no MAC gets the one that the machine booted from."""
    listed = [
        i.model_dump(mode="json", exclude_unset=True, exclude_none=True) for i in (known.interfaces if known else ())
    ]
    if any(i.get("mac") in macs for i in listed):
        return listed
    for interface in listed:
        if "mac" not in interface:
            interface["mac"] = macs[0]
            return listed
    return listed or [{"name": "eth0", "mac": macs[0]}]
