"""What a change does, field by field, so that it can be read before it is done. Equal changes are told once."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from muster.model import noderange
from muster.model.documents import document
from muster.model.objects import Object
from muster.model.world import Change

Verb = Literal["add", "change", "delete"]
Flat = dict[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class FieldDifference:
    """One field: of a single value what it was and will be (None: not set), of a list the entries that go and come."""

    key: str
    before: str | None = None
    after: str | None = None
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """The same change of all these objects of one kind; `range` names them shortly."""

    verb: Verb
    kind: str
    names: tuple[str, ...]
    range: str
    fields: tuple[FieldDifference, ...]


def differences(changes: Iterable[Change]) -> list[Difference]:
    """By kind and name; objects that change in the same way share one entry, at the place of the first."""
    groups: dict[tuple[Verb, str, tuple[FieldDifference, ...]], list[str]] = {}
    for change in sorted(changes, key=lambda c: (c.kind, c.name)):
        verb: Verb = "delete" if change.after is None else "add" if change.before is None else "change"
        groups.setdefault((verb, change.kind, tuple(_fields(change))), []).append(change.name)
    return [
        Difference(verb, kind, tuple(names), names[0] if len(names) == 1 else _range(kind, names), fields)
        for (verb, kind, fields), names in groups.items()
    ]


def plain(found: Sequence[Difference]) -> list[dict[str, object]]:
    """As JSON-able maps; what a field does not have is left out."""
    return [
        {**vars(d), "fields": [{k: v for k, v in vars(f).items() if v is not None and v != ()} for f in d.fields]}
        for d in found
    ]


def _range(kind: str, names: Sequence[str]) -> str:
    return noderange.fold(names) if kind == "node" else ",".join(names)


def _fields(change: Change) -> Iterator[FieldDifference]:
    """Nothing is told of what goes as a whole."""
    if change.after is None:
        return
    before, after = _flat(change.before), _flat(change.after)
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, tuple) or isinstance(new, tuple):
            yield _entries(key, _listed(old), _listed(new))
        else:
            yield FieldDifference(key, old, new)


def _entries(key: str, old: Sequence[str], new: Sequence[str]) -> FieldDifference:
    removed: list[str] = []
    added: list[str] = []
    for _, first, past, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if old[first:past] != new[start:end]:
            removed += old[first:past]
            added += new[start:end]
    return FieldDifference(key, removed=tuple(removed), added=tuple(added))


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _flat(item: Object | None) -> Flat:
    flat: Flat = {}
    for key, value in (document(item) if item else {}).items():
        if key not in ("kind", "name"):
            _flatten(key, value, flat)
    return flat


def _flatten(key: str, value: object, flat: Flat) -> None:
    """Parts of maps under their own keys, list entries that have a name under that; their order is one more entry."""
    if isinstance(value, Mapping):
        for part, inner in value.items():
            _flatten(f"{key}.{part}", inner, flat)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        flat[key] = tuple(str(entry["name"]) for entry in value)
        for entry in value:
            for part, inner in entry.items():
                if part != "name":
                    _flatten(f"{key}.{entry['name']}.{part}", inner, flat)
    elif isinstance(value, (list, tuple)):
        flat[key] = tuple(map(str, value))
    else:
        flat[key] = value if isinstance(value, str) else json.dumps(value)
