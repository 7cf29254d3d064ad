"""Nodes, profiles and networks: made, changed, listed, shown, removed. Pure: (world, request) -> (answer, changes)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from muster.model import noderange
from muster.model.check import refuse_conflicts
from muster.model.documents import assign, document, parse
from muster.model.errors import ConflictError, NotFoundError, RequestError
from muster.model.objects import DECLARED, KINDS, Node, Object
from muster.model.world import Change, World

MAX_DOCUMENTS = 200_000


@dataclass(frozen=True)
class Outcome:
    """What a change did or would do: one `VERB KIND NAME` line for each object."""

    lines: tuple[str, ...]
    revision: int


def apply(world: World, documents: Sequence[Mapping[str, object]]) -> tuple[Outcome, list[Change]]:
    """Make or replace each declared object. Raises RequestError or ConflictError and then changes nothing."""
    if len(documents) > MAX_DOCUMENTS:
        raise RequestError(f"more than {MAX_DOCUMENTS} documents at once")
    items = [parse(text, f"document {number}") for number, text in enumerate(documents, 1)]
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
    wanted = noderange.expand(names)
    present = [name for name in wanted if (kind, name) in world.objects]
    if present:
        raise ConflictError(f"{kind} {noderange.fold(present)} exists", hint=f"muster {kind} set changes it")
    return _settle(world, [_bare(kind, name, assignments) for name in wanted])


def change(world: World, kind: str, names: str, assignments: Mapping[str, str]) -> tuple[Outcome, list[Change]]:
    """Lay `key=value` words over existing objects. Raises NotFoundError naming those that do not exist."""
    return _settle(world, [assign(item, assignments) for item in select(world, kind, names)])


def delete(world: World, kind: str, names: str) -> tuple[Outcome, list[Change]]:
    """Remove objects; ConflictError when something still refers to one."""
    if kind not in (*DECLARED, "machine"):
        raise RequestError(f"a {kind} is not removed like this")
    changes = [Change(kind, item.name, item, None) for item in select(world, kind, names)]
    refuse_conflicts(world, changes)
    return Outcome(tuple(f"delete {kind} {c.name}" for c in changes), world.revision + 1), changes


def select(world: World, kind: str, names: str) -> list[Object]:
    """The objects of a range; machines also by a unique prefix of their fingerprint."""
    if kind == "node":
        return list(noderange.select(world, names))
    found, unknown = [], []
    for name in noderange.expand(names):
        matches = [world.objects[(kind, name)]] if (kind, name) in world.objects else _by_prefix(world, kind, name)
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
    return {**document(select(world, kind, name)[0]), "revision": world.revision}


def listing(world: World, kind: str) -> list[dict[str, object]]:
    """All objects of a kind as documents, by name."""
    if kind not in KINDS:
        raise NotFoundError(f"there is no kind {kind!r}")
    return [document(item) for item in sorted(_of_kind(world, kind), key=lambda o: o.name)]


def _of_kind(world: World, kind: str) -> Iterable[Object]:
    return (item for (of, _), item in world.objects.items() if of == kind)


def _by_prefix(world: World, kind: str, prefix: str) -> list[Object]:
    return [m for m in _of_kind(world, kind) if m.name.startswith(prefix)] if kind == "machine" else []


def _bare(kind: str, name: str, assignments: Mapping[str, str]) -> Object:
    if kind not in DECLARED:
        raise RequestError(f"a {kind} is not made by hand")
    if kind == "network":  # has required fields: all words must be there at once
        return parse({"kind": kind, "name": name, **assignments}, f"network {name}")
    return assign(parse({"kind": kind, "name": name}), assignments)


def _settle(world: World, items: Sequence[Object]) -> tuple[Outcome, list[Change]]:
    changes, lines = [], []
    for item in items:
        before = world.objects.get((item.kind, item.name))
        if before == item:
            continue
        changes.append(Change(item.kind, item.name, before, item))
        lines.append(f"{'change' if before else 'add'} {item.kind} {item.name}")
    refuse_conflicts(world, changes)
    return Outcome(tuple(lines), world.revision + bool(changes)), changes


def adopt(world: World, machine: str, name: str, assignments: Mapping[str, str]) -> tuple[Outcome, list[Change]]:
    """Make a pending machine the node `name`: a new one, or one declared so far without a machine."""
    (pending,) = select(world, "machine", machine)
    known = world.find(Node, name)
    if known is not None and known.machine is not None:
        raise ConflictError(f"node {name} is another machine already", hint=f"muster node show {name}")
    facts = _claimed(pending)
    plain: dict[str, object] = document(known) if known else {"kind": "node", "name": name}
    if facts.get("machine"):
        plain["machine"] = facts["machine"]
    listed = plain.get("interfaces")
    macs = [i.get("mac") for i in listed if isinstance(i, dict)] if isinstance(listed, list) else []
    if facts["mac"] not in macs and not listed:
        plain["interfaces"] = [{"name": "eth0", "mac": facts["mac"]}]
    node = assign(parse(plain), assignments)
    changes = [Change("node", name, known, node), Change("machine", pending.name, pending, None)]
    refuse_conflicts(world, changes)
    return Outcome((f"adopt machine {pending.name[:8]} as node {name}",), world.revision + 1), changes


def _claimed(pending: Object) -> dict[str, object]:
    inventory: Mapping[str, Sequence[str]] = getattr(pending, "inventory", {})
    first = {key: entries[0] for key, entries in inventory.items() if entries}
    if "uuid" in first:
        machine: dict[str, str] = {"uuid": first["uuid"]}
    elif "board-serial" in first:
        machine = {"board_serial": first["board-serial"], "product": first.get("product", "")}
    else:
        machine = {}
    return {"machine": machine, "mac": first.get("bootif", "")}
