"""The audit log asked by object, person and time: newest first, over a connection of its own that only reads.

Every selection walks an index from its newest end and stops at its limit, so that the answer does not
become slower with the age of the log; writers are not held up (WAL).
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from muster.model.errors import StoreError
from muster.store.database import ChangeRecord

_COLUMNS = "sequence, revision, kind, name, before, after, who, at"


@dataclass(frozen=True)
class Selection:
    """Which records: of one of `kinds`, with one of `names`, by `who`, not older than `since` (Unix seconds).

    None is any; at most `limit` records.
    """

    kinds: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    who: str | None = None
    since: float | None = None
    limit: int = 100


def read(path: Path, wanted: Selection) -> list[ChangeRecord]:
    """The records of a selection, newest first. StoreError when the store cannot be read."""
    with closing(_connected(path)) as connection:
        try:
            rows = [row for kind in wanted.kinds or (None,) for row in _of_kind(connection, wanted, kind)]
        except (sqlite3.Error, OverflowError) as error:
            raise StoreError(f"cannot be read: {error}", where=str(path)) from error
    rows.sort(key=lambda row: -row.sequence)
    return rows[: wanted.limit]


def adopted(path: Path, revisions: Sequence[int]) -> dict[int, str]:
    """Of these revisions those that took a pending machine away, and the one node that it then became."""
    marks = ",".join("?" * len(revisions))
    query = (
        "SELECT revision, min(name) FROM changes WHERE kind = 'node' AND after IS NOT NULL AND revision IN"
        f" (SELECT revision FROM changes WHERE revision IN ({marks}) AND kind = 'machine' AND after IS NULL)"
        " GROUP BY revision HAVING count(*) = 1"
    )
    with closing(_connected(path)) as connection:
        try:
            return dict(connection.execute(query, tuple(revisions)).fetchall())
        except sqlite3.Error as error:
            raise StoreError(f"cannot be read: {error}", where=str(path)) from error


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    except sqlite3.Error as error:
        raise StoreError(f"cannot be opened: {error}", where=str(path)) from error


def _of_kind(connection: sqlite3.Connection, wanted: Selection, kind: str | None) -> list[ChangeRecord]:
    where, values = _conditions(wanted, kind)
    query = f"SELECT {_COLUMNS} FROM changes WHERE {where} ORDER BY sequence DESC LIMIT ?"
    return [_record(row) for row in connection.execute(query, (*values, wanted.limit))]


def _conditions(wanted: Selection, kind: str | None) -> tuple[str, list[object]]:
    conditions: list[str] = ["1"]
    values: list[object] = []
    if kind is not None:
        conditions.append("kind = ?")
        values.append(kind)
    if wanted.names is not None:
        conditions.append(f"name IN ({','.join('?' * len(wanted.names))})")
        values += wanted.names
    if wanted.who is not None:
        conditions.append("who = ?")
        values.append(wanted.who)
    if wanted.since is not None:  # the log grows with time: the first of them bounds the walk
        conditions.append("sequence >= (SELECT sequence FROM changes WHERE at >= ? ORDER BY at, sequence LIMIT 1)")
        conditions.append("at >= ?")
        values += [wanted.since, wanted.since]
    return " AND ".join(conditions), values


def _record(row: tuple[int, int, str, str, str | None, str | None, str, float]) -> ChangeRecord:
    sequence, revision, kind, name, before, after, who, at = row
    return ChangeRecord(sequence, revision, kind, name, _parsed(before), _parsed(after), who, at)


def _parsed(text: str | None) -> dict[str, object] | None:
    return None if text is None else json.loads(text)
