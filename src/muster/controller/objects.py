"""Nodes, profiles and networks: made, changed, listed, shown, removed. Pure: (world, request) -> (answer, changes)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from muster.boot.facts import machine_facts
from muster.model import noderange
from muster.model.check import IMAGES_HINT, conflicts, needs_images, refuse_conflicts
from muster.model.documents import Document, assign, document, made, parse, read, unknown_keys
from muster.model.errors import ConflictError, NotFoundError, Problem, RequestError, lines
from muster.model.facts import MachineFacts
from muster.model.objects import BY_HAND, DECLARED, KINDS, Machine, Node, Object
from muster.model.world import Change, Key, World

MAX_DOCUMENTS = 200_000
States = Mapping[str, str] | None
"""The states of the nodes that have booted, for ranges such as @state:ready."""


@dataclass(frozen=True)
class Outcome:
    """What a change did or would do: one `VERB KIND NAME` line for each object."""

    lines: tuple[str, ...]
    revision: int


def apply(
    world: World,
    documents: Sequence[Mapping[str, object]],
    *,
    prune: bool = False,
    missing_images: bool = False,
) -> tuple[Outcome, list[Change]]:
    """Make or replace each declared object; with `prune` remove those made by hand that are not among them.

    Raises RequestError or ConflictError with all that is wrong, each with its document, and then changes
    nothing. `missing_images` lets references to images dangle (model/check.py).
    """
    if len(documents) > MAX_DOCUMENTS:
        raise RequestError(f"more than {MAX_DOCUMENTS} documents at once")
    if prune and not documents:
        raise RequestError("no objects are declared, so that all would be removed", hint="muster node delete @all")
    request = _read(documents)
    given = request.numbers.keys()
    gone = [o for (kind, name), o in world.objects.items() if kind in BY_HAND and (kind, name) not in given]
    return _settle(world, request, gone if prune else (), missing_images=missing_images, hint=IMAGES_HINT)


def lay(world: World, kind: str, rows: Sequence[Mapping[str, str]]) -> tuple[Outcome, list[Change]]:
    """Rows of settings with a `name` (an inventory): lay each over the object of that name, or make it.

    An empty value leaves what is there. Errors as in `apply`; a document is a row.
    """
    if kind not in BY_HAND:
        raise RequestError(f"a {kind} is not made by hand")
    if len(rows) > MAX_DOCUMENTS:
        raise RequestError(f"more than {MAX_DOCUMENTS} rows at once")
    request = _Request()
    request.problems += unknown_keys(kind, {key for row in rows for key in row if key != "name"})
    for number, row in enumerate(rows) if not request.problems else ():
        name, words = row.get("name", ""), {k: v for k, v in row.items() if k != "name" and v}
        known = world.objects.get((kind, name))
        if not request.name(kind, name, number):
            continue
        try:
            request.items.append(assign(known, words) if known else made(kind, name, words))
        except RequestError as error:
            found = error.problems or (Problem(error.message, f"{kind} {name}"),)
            request.problems += [replace(problem, document=number) for problem in found]
    return _settle(world, request)


def make(world: World, kind: str, names: str, assignments: Mapping[str, str]) -> tuple[Outcome, list[Change]]:
    """New objects of one kind from `key=value` words. ConflictError when one exists already."""
    if kind not in BY_HAND:
        raise RequestError(f"a {kind} is not made by hand")
    wanted = noderange.expand(names)
    present = [name for name in wanted if (kind, name) in world.objects]
    if present:
        raise ConflictError(f"{kind} {noderange.fold(present)} exists", hint=f"muster {kind} set changes it")
    return _settle(world, _Request.of([made(kind, name, assignments) for name in wanted]))


def change(
    world: World, kind: str, names: str, assignments: Mapping[str, str], states: States = None
) -> tuple[Outcome, list[Change]]:
    """Lay `key=value` words over existing objects. Raises NotFoundError naming those that do not exist."""
    if kind not in BY_HAND:
        raise RequestError(f"a {kind} is not changed by hand")
    return _settle(world, _Request.of([assign(item, assignments) for item in select(world, kind, names, states)]))


def delete(world: World, kind: str, names: str, states: States = None) -> tuple[Outcome, list[Change]]:
    """Remove objects; ConflictError when something still refers to one."""
    if kind not in (*BY_HAND, "machine"):
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


def export(world: World, kinds: Sequence[str] = ()) -> list[dict[str, object]]:
    """Everything declared (of these kinds) as documents, in the order of DECLARED and then by name.

    Applied to this world they change nothing; applied to an empty one they make this.
    """
    if unknown := [kind for kind in kinds if kind not in DECLARED]:
        raise NotFoundError(f"no declared kind {', '.join(unknown)}", hint=f"the kinds are {', '.join(DECLARED)}")
    return [_sorted(one) for kind in DECLARED if not kinds or kind in kinds for one in listing(world, kind)]


def _sorted(plain: dict[str, object]) -> dict[str, object]:
    """With the maps whose keys are free in order; those of the others stand in the model's."""
    free = {key: dict(sorted(value.items())) for key in ("labels", "tags") if isinstance(value := plain.get(key), dict)}
    return plain | free


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


@dataclass
class _Request:
    """What is to be: the objects, the number of the document that names each, and what was wrong so far."""

    items: list[Object] = field(default_factory=list)
    numbers: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, items: Iterable[Object]) -> "_Request":
        return cls(list(items))

    def name(self, kind: str, name: str, number: int) -> bool:
        """Note which document names an object; one that another named before is a problem of both."""
        first = self.numbers.setdefault((kind, name), number)
        if first != number:
            message = "given twice in this request"
            self.problems += [Problem(message, f"{kind} {name}", ("name",), each) for each in (first, number)]
        return first == number


def _read(documents: Sequence[Mapping[str, object]]) -> _Request:
    request = _Request()
    for number, text in enumerate(documents):
        item, problems = read(text, number)
        request.problems += problems
        known = "kind" in text and "name" in text
        first = not known or request.name(str(text["kind"]), str(text["name"]), number)
        if item is None or not first:
            continue
        if item.kind in DECLARED:
            request.items.append(item)
        else:
            message = f"a {item.kind} is not declared by hand"
            request.problems.append(Problem(message, f"{item.kind} {item.name}", ("kind",), number))
    return request


def _settle(
    world: World, request: _Request, removed: Sequence[Object] = (), *, missing_images: bool = False, hint: str = ""
) -> tuple[Outcome, list[Change]]:
    """The changes from the world to what is wanted. Raises with all problems of the request and of its changes."""
    changes = [Change(o.kind, o.name, before, o) for o in request.items if _differs(before := _stored(world, o), o)]
    changes += [Change(item.kind, item.name, item, None) for item in removed]
    read_well = {(item.kind, item.name) for item in request.items}
    hidden = request.numbers.keys() - read_well
    clashes = conflicts(world, changes, missing_images=missing_images, hidden=hidden)
    if request.problems or clashes:
        raise _refusal(request, clashes, hint if needs_images(clashes) else "")
    return Outcome(tuple(map(_line, changes)), world.revision + bool(changes)), changes


def _stored(world: World, item: Object) -> Object | None:
    return world.objects.get((item.kind, item.name))


def _differs(before: Object | None, item: Object) -> bool:
    """A default that is said is not one left unsaid: the documents are compared."""
    return before is None or document(before) != document(item)


def _line(change: Change) -> str:
    verb = "delete" if change.after is None else "change" if change.before else "add"
    return f"{verb} {change.kind} {change.name}"


def _refusal(request: _Request, clashes: Sequence[Problem], hint: str) -> RequestError:
    """400 when a document is wrong in itself, 409 when it only clashes with others."""
    found = list(request.problems)
    for clash in clashes:
        kind, _, name = clash.subject.partition(" ")
        found.append(replace(clash, document=request.numbers.get((kind, name))))
    found.sort(key=lambda problem: -1 if problem.document is None else problem.document)
    return (RequestError if request.problems else ConflictError)(lines(found), hint=hint, problems=found)


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
