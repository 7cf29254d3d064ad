"""The store: objects as JSON documents in SQLite, one global revision, every change kept (DESIGN section 4).

The world is held in memory; one writer at a time plans a change on it, commits, and only then shows it.
What `change` returned is on disk (WAL, `synchronous=FULL`).
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from muster.host.clock import Clock
from muster.model.errors import ConflictError, StoreError
from muster.model.objects import KINDS, Object
from muster.model.world import Change, World
from muster.store.migrations import migrate

Answer = TypeVar("Answer")
Plan = Callable[[World], tuple[Answer, Sequence[Change]]]


@dataclass(frozen=True)
class ChangeRecord:
    """One line of the audit log and of the feed. `at` is Unix time in seconds."""

    sequence: int
    revision: int
    kind: str
    name: str
    before: dict[str, object] | None
    after: dict[str, object] | None
    who: str
    at: float


class Store:
    """Open with a path; every method may be called from any thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: list[Callable[[World], None]] = []
        self._connection = _connected(path)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            migrate(self._connection, path)
            self._world = self._load()
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"cannot be opened: {error}", where=str(path)) from error
        except StoreError:
            self._connection.close()
            raise

    @property
    def path(self) -> Path:
        """The database file, for those who read it over connections of their own."""
        return self._path

    @property
    def world(self) -> World:
        """The objects as of the last commit."""
        return self._world

    def change(self, plan: Plan[Answer], *, who: str, based_on: int | None = None) -> Answer:
        """Commit what `plan` makes of the current world, then return its answer.

        `based_on` is the revision that the request was made against: ConflictError when one of the touched
        objects changed since. A failed write is StoreError and leaves everything as it was.
        """
        with self._lock:
            answer, changes = plan(self._world)
            if not changes:
                return answer
            if based_on is not None:
                self._refuse_stale(changes, based_on)
            world = self._world.with_changes(changes, self._world.revision + 1)
            self._commit(changes, world.revision, who)
            self._world = world
        for listener in tuple(self._listeners):
            listener(world)
        return answer

    def note(self, what: str, verb: str, names: Sequence[str], who: str) -> None:
        """Enter an act that changes no object (switching power) into the audit log, one line for each name."""
        with self._lock:
            records = [
                (self._world.revision, what, name, json.dumps({"verb": verb}), who, self._clock.now()) for name in names
            ]
            with self._transaction():
                self._connection.executemany(
                    "INSERT INTO changes (revision, kind, name, after, who, at) VALUES (?, ?, ?, ?, ?, ?)", records
                )

    def changes(self, after: int, limit: int = 1000) -> list[ChangeRecord]:
        """The changes of revisions later than `after`, oldest first."""
        with self._lock:
            return self._records("revision > ?", (after,), "sequence", limit)

    def history(self, kind: str, name: str, limit: int = 100) -> list[ChangeRecord]:
        """The changes of one object, newest first."""
        with self._lock:
            return self._records("kind = ? AND name = ?", (kind, name), "sequence DESC", limit)

    def subscribe(self, listener: Callable[[World], None]) -> None:
        """Call `listener` with every new world, from the thread that committed it."""
        self._listeners.append(listener)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _load(self) -> World:
        (revision,) = self._connection.execute("SELECT coalesce(max(revision), 0) FROM changes").fetchone()
        loaded = []
        for kind, name, document in self._connection.execute("SELECT kind, name, document FROM objects"):
            try:
                loaded.append(Change(kind, name, None, KINDS[kind].model_validate_json(document)))
            except (KeyError, ValidationError) as error:
                raise StoreError(
                    f"holds a {kind} {name!r} that cannot be read: {error}", where=str(self._path)
                ) from error
        return World().with_changes(loaded, revision)

    def _refuse_stale(self, changes: Sequence[Change], based_on: int) -> None:
        stale = []
        for change in changes:
            newer = "kind = ? AND name = ? AND revision > ?"
            stale += self._records(newer, (change.kind, change.name, based_on), "sequence DESC", 1)
        if stale:
            names = ", ".join(f"{r.kind} {r.name} (by {r.who})" for r in stale)
            raise ConflictError(f"changed since revision {based_on}: {names}", hint="look at it again, then repeat")

    def _commit(self, changes: Sequence[Change], revision: int, who: str) -> None:
        now = self._clock.now()
        with self._transaction():
            for change in changes:
                before, after = _document(change.before), _document(change.after)
                if after is None:
                    self._connection.execute("DELETE FROM objects WHERE kind=? AND name=?", (change.kind, change.name))
                else:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
                        (change.kind, change.name, after, revision),
                    )
                self._connection.execute(
                    "INSERT INTO changes (revision, kind, name, before, after, who, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (revision, change.kind, change.name, before, after, who, now),
                )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise StoreError(
                f"nothing was changed, it cannot be written: {error}",
                where=str(self._path),
                hint="look for a full or read-only file system; reading and booting go on",
            ) from error

    def _records(self, where: str, values: tuple[object, ...], order: str, limit: int) -> list[ChangeRecord]:
        query = (
            "SELECT sequence, revision, kind, name, before, after, who, at FROM changes"
            f" WHERE {where} ORDER BY {order} LIMIT {int(limit)}"
        )
        try:
            rows = self._connection.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise StoreError(f"cannot be read: {error}", where=str(self._path)) from error
        return [
            ChangeRecord(sequence, revision, kind, name, _parsed(before), _parsed(after), who, at)
            for sequence, revision, kind, name, before, after, who, at in rows
        ]


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except sqlite3.Error as error:
        raise StoreError(f"cannot be opened: {error}", where=str(path)) from error


def _document(item: Object | None) -> str | None:
    return None if item is None else item.model_dump_json(exclude_none=True, exclude_unset=True)


def _parsed(text: str | None) -> dict[str, object] | None:
    return None if text is None else json.loads(text)
