"""Who changed what and when: the records of the store in words, field by field, adoptions and switching included."""

from collections.abc import Iterator, Mapping, Sequence

from muster.controller.context import Context
from muster.controller.ordering import ORDER
from muster.model.errors import NotFoundError
from muster.model.noderange import expand, fold
from muster.model.objects import KINDS
from muster.store import audit
from muster.store.audit import Selection
from muster.store.database import ChangeRecord

POWER = "power"
"""The kind under which Store.note enters the switching of nodes."""

ACTS = (POWER, ORDER)
"""What is done to nodes and changes no object."""

Row = dict[str, object]


def wanted(kind: str | None, names: str | None, who: str | None, since: float | None, limit: int) -> Selection:
    """What to read for a question. A node's records are also those of switching it, and of orders to it.

    Names need not exist any more. Raises NotFoundError for an unknown kind, RequestError for a bad range.
    """
    if kind is not None and kind not in (*KINDS, *ACTS):
        raise NotFoundError(f"there is no kind {kind!r}", hint=f"the kinds are {', '.join((*KINDS, *ACTS))}")
    kinds = (kind, *ACTS) if kind == "node" else (kind,) if kind else None
    chosen = None
    if names is not None:
        chosen = (names,) if kind in ("machine", "version", None) else tuple(expand(names))
    return Selection(kinds, chosen, who or None, since, limit)


def entries(context: Context, selection: Selection, *, folded: bool = False) -> list[Row]:
    """One row for each change, newest first; `folded`: one for all that were changed alike in one revision."""
    records = audit.read(context.store.path, selection)
    adopted = audit.adopted(context.store.path, sorted({r.revision for r in records if _is_removed_machine(r)}))
    rows = [_row(record, adopted) for record in records]
    return _folded(rows) if folded else rows


def fields(before: Mapping[str, object] | None, after: Mapping[str, object] | None) -> list[Row]:
    """What differs between two documents: `{field, before, after}` with dotted names; None where there is nothing."""
    old, new = dict(_flat(before or {})), dict(_flat(after or {}))
    return [
        {"field": key, "before": old.get(key), "after": new.get(key)}
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]


def _flat(document: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Leaves by dotted name; entries of a list that have names go by those (`interfaces.eth0.mac`)."""
    for key, value in document.items():
        if not prefix and key in ("kind", "name"):
            continue
        if isinstance(value, list) and value and all(isinstance(e, dict) and "name" in e for e in value):
            value = {str(e["name"]): {k: v for k, v in e.items() if k != "name"} for e in value}
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _row(record: ChangeRecord, adopted: Mapping[int, str]) -> Row:
    row: Row = {
        "revision": record.revision,
        "at": record.at,
        "who": record.who,
        "verb": _verb(record),
        "kind": record.kind,
        "name": record.name,
        "fields": fields(record.before, record.after),
    }
    if record.kind in ACTS:
        return row | {"kind": "node", "fields": []}
    if _is_removed_machine(record) and record.revision in adopted:
        return row | {"verb": "adopt", "fields": [{"field": "node", "before": None, "after": adopted[record.revision]}]}
    return row


def _verb(record: ChangeRecord) -> str:
    if record.kind in ACTS:
        return f"{record.kind} {(record.after or {}).get('verb', '')}".rstrip()
    if record.before is None:
        return "add"
    return "change" if record.after is not None else "delete"


def _is_removed_machine(record: ChangeRecord) -> bool:
    return record.kind == "machine" and record.after is None


def _folded(rows: Sequence[Row]) -> list[Row]:
    """Rows that differ only in their names become one; it stands where the newest of them stood."""
    alike: dict[str, tuple[Row, list[str]]] = {}
    for row in rows:
        key = repr([value for column, value in row.items() if column not in ("name", "at")])
        alike.setdefault(key, (row, []))[1].append(str(row["name"]))
    return [row | {"name": _several(str(row["kind"]), names)} for row, names in alike.values()]


def _several(kind: str, names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) == 1 or kind in ("machine", "version") else fold(names)
