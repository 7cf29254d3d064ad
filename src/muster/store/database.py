"""The store: objects as JSON documents in SQLite, one global revision, every change kept (DESIGN section 4).

The world is held in memory; changes are planned on it one after another, committed, and only then shown.
What `change` returned is on disk (WAL, `synchronous=FULL`). Writers that meet share one commit: the first leads,
plans and writes for all who came while the commit before was under way, and the others wait for it.
"""

import gc
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from muster.host.clock import Clock
from muster.model.errors import ConflictError, MusterError, StoreError
from muster.model.objects import KINDS, Object
from muster.model.world import Change, Key, World
from muster.store.migrations import MIGRATIONS, migrate
from muster.store.stopgap import as_it_is

Answer = TypeVar("Answer")
Plan = Callable[[World], tuple[Answer, Sequence[Change]]]
_ALL = "SELECT kind, name, document FROM objects"
_Documents = tuple[str | None, str | None]

log = logging.getLogger("muster.store")


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


@dataclass(frozen=True)
class _Write(Generic[Answer]):
    """One member of a batch: what was asked, and where its caller waits for what comes of it."""

    plan: Plan[Answer]
    who: str
    based_on: int | None
    touched: Sequence[Key]
    outcome: Future[Answer] = field(default_factory=Future)


class Store:
    """Open with a path; every method may be called from any thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._turn = threading.Condition()
        self._waiting: list[_Write[Any]] = []
        self._leading = False
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._listeners: list[Callable[[World, Sequence[Change]], None]] = []
        self._connection, self._reader, self._stopgap = self._opened()
        try:
            self._world = self._load()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"cannot be opened: {error}", where=str(path)) from error
        except StoreError:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """The database file, for those who read it over connections of their own."""
        return self._path

    @property
    def world(self) -> World:
        """The objects as of the last commit."""
        return self._world

    def change(
        self, plan: Plan[Answer], *, who: str, based_on: int | None = None, touched: Sequence[Key] = ()
    ) -> Answer:
        """Commit what `plan` makes of the current world, then return its answer.

        The plan may run in another thread, and must not call the store. `based_on` is the revision that the request
        was made against: ConflictError when one of the objects that it changes, or that are `touched` by it though
        they may be as wanted already, changed since. What a plan raises reaches its own caller only. A failed commit
        is StoreError for everybody in it and leaves everything as it was.
        """
        write = _Write(plan, who, based_on, touched)
        with self._turn:
            self._waiting.append(write)
            self._turn.wait_for(lambda: write.outcome.done() or not self._leading)
            if write.outcome.done():
                return write.outcome.result()
            self._leading = True
            batch, self._waiting = self._waiting, []
        try:
            self._commit(batch)
        finally:
            with self._turn:
                self._leading = False
                self._turn.notify_all()
        return write.outcome.result()

    def note(self, what: str, verb: str, names: Sequence[str], who: str) -> None:
        """Enter an act that changes no object (switching power) into the audit log, one line for each name."""
        document = json.dumps({"verb": verb})
        with self._writing, self._transaction():
            now, revision = self._clock.now(), self._world.revision
            self._log([(revision, what, name, None, document, _text(who), now) for name in names])

    def changes(self, after: int, limit: int = 1000) -> list[ChangeRecord]:
        """The changes of revisions later than `after`, oldest first; about `limit`, but always whole revisions.

        So the last one's revision is where to go on. What `note` entered since then is not told again.
        """
        with self._reading:
            cut = self._records(self._reader, "revision > ?", (after,), "revision", 1, offset=limit - 1)
            last = cut[0].revision if cut else self._world.revision
            return self._records(self._reader, "revision > ? AND revision <= ?", (after, last), "sequence")

    def history(self, kind: str, name: str, limit: int = 100) -> list[ChangeRecord]:
        """The changes of one object, newest first."""
        with self._reading:
            return self._records(self._reader, "kind = ? AND name = ?", (kind, name), "sequence DESC", limit)

    def subscribe(self, listener: Callable[[World], None]) -> None:
        """Call `listener` with every new world, from the thread that committed it."""
        self.follow(lambda world, _changes: listener(world))

    def follow(self, listener: Callable[[World, Sequence[Change]], None]) -> None:
        """As `subscribe`, with the changes that made this world of the one before."""
        self._listeners.append(listener)

    def close(self) -> None:
        with self._writing, self._reading:
            self._reader.close()
            self._connection.close()

    def _opened(self) -> tuple[sqlite3.Connection, sqlite3.Connection, bool]:
        """For writing, for reading; and whether both only read, because the disk takes nothing."""
        try:
            return *self._writable(), False
        except sqlite3.Error as error:
            try:
                first, second = (as_it_is(self._path, len(MIGRATIONS), error) for _ in range(2))
            except sqlite3.Error as reason:
                raise StoreError(f"cannot be opened: {reason}", where=str(self._path)) from error
            log.error("%s is opened for reading only: %s", self._path, error)
            return first, second, True

    def _writable(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        with ExitStack() as failing:
            connection, reader = (failing.enter_context(closing(_connected(self._path))) for _ in range(2))
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            migrate(connection, self._path)
            failing.pop_all()
        return connection, reader

    def _load(self) -> World:
        (revision,) = self._connection.execute("SELECT coalesce(max(revision), 0) FROM changes").fetchone()
        with _nothing_to_collect():
            return World().with_changes(map(self._loaded, self._connection.execute(_ALL)), revision)

    def _loaded(self, row: tuple[str, str, str]) -> Change:
        kind, name, document = row
        try:
            return Change(kind, name, None, KINDS[kind].model_validate_json(document))
        except (KeyError, ValidationError) as error:
            raise StoreError(f"holds a {kind} {name!r} that cannot be read: {error}", where=str(self._path)) from error

    def _commit(self, batch: Sequence[_Write[Any]]) -> None:
        """Plan and write a batch, make it durable at once, then tell every caller and listener."""
        try:
            with self._writing:
                before = self._world
                with self._transaction():
                    world, answers, changes = self._planned(batch)
                self._world = world
            for write, answer in answers:
                write.outcome.set_result(answer)
        except StoreError as error:
            for write in _unsettled(batch):
                write.outcome.set_exception(StoreError(error.message, where=error.where, hint=error.hint))
            return
        finally:
            for write in _unsettled(batch):  # only when this thread is being stopped
                write.outcome.set_exception(StoreError("interrupted, nothing was changed", where=str(self._path)))
        if world is not before:
            for listener in tuple(self._listeners):
                listener(world, changes)

    def _planned(self, batch: Sequence[_Write[Any]]) -> tuple[World, list[tuple[_Write[Any], Any]], list[Change]]:
        """The world after the batch, each plan on what the ones before it left, its rows written; answers and changes.

        A member that fails is settled here; it wrote nothing.
        """
        world, answers, made = self._world, [], list[Change]()
        for write in batch:
            try:
                answer, changes = write.plan(world)
                if write.based_on is not None and write.based_on != world.revision:
                    self._refuse_stale({*write.touched, *((c.kind, c.name) for c in changes)}, write.based_on)
                documents = [(_document(change.before), _document(change.after)) for change in changes]
            except MusterError as error:
                write.outcome.set_exception(error)
            except Exception as error:
                log.exception("a change by %s could not be planned", write.who)
                write.outcome.set_exception(error)
            else:
                if changes:
                    world = world.with_changes(changes, world.revision + 1)
                    self._write(changes, documents, world.revision, _text(write.who))
                    made += changes
                answers.append((write, answer))
        return world, answers, made

    def _refuse_stale(self, keys: Iterable[Key], based_on: int) -> None:
        stale = []
        for key in sorted(keys):
            newer = "kind = ? AND name = ? AND revision > ?"
            stale += self._records(self._connection, newer, (*key, based_on), "revision DESC, sequence DESC", 1)
        if stale:
            names = ", ".join(f"{r.kind} {r.name} (by {r.who})" for r in stale)
            raise ConflictError(f"changed since revision {based_on}: {names}", hint="look at it again, then repeat")

    def _write(self, changes: Sequence[Change], documents: Sequence[_Documents], revision: int, who: str) -> None:
        self._begin()
        now = self._clock.now()
        for change, (_, after) in zip(changes, documents, strict=True):
            if after is None:
                self._connection.execute("DELETE FROM objects WHERE kind=? AND name=?", (change.kind, change.name))
            else:
                row = (change.kind, change.name, after, revision)
                self._connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", row)
        self._log(
            (revision, change.kind, change.name, before, after, who, now)
            for change, (before, after) in zip(changes, documents, strict=True)
        )

    def _log(self, rows: Iterable[tuple[object, ...]]) -> None:
        self._begin()
        self._connection.executemany(
            "INSERT INTO changes (revision, kind, name, before, after, who, at) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
        )

    def _begin(self) -> None:
        """A transaction begins with its first row: a batch that changes nothing asks nothing of the disk."""
        if self._stopgap:
            with self._reading:
                before = self._connection, self._reader
                self._connection, self._reader = self._writable()
                self._stopgap = False
            for connection in before:
                connection.close()
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that the block wrote is on disk after it, or none of it: StoreError."""
        try:
            yield
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(
                f"nothing was changed, it cannot be written: {error}",
                where=str(self._path),
                hint="look for a full or read-only file system; reading and booting go on",
            ) from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _records(
        self,
        connection: sqlite3.Connection,
        where: str,
        values: tuple[object, ...],
        order: str,
        limit: int = -1,
        offset: int = 0,
    ) -> list[ChangeRecord]:
        query = (
            "SELECT sequence, revision, kind, name, before, after, who, at FROM changes"
            f" WHERE {where} ORDER BY {order} LIMIT {int(limit)} OFFSET {int(offset)}"
        )
        try:
            rows = connection.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise StoreError(f"cannot be read: {error}", where=str(self._path)) from error
        return [
            ChangeRecord(sequence, revision, kind, name, _parsed(before), _parsed(after), who, at)
            for sequence, revision, kind, name, before, after, who, at in rows
        ]


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """While the world is built, looking through it for garbage would take as long again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except sqlite3.Error as error:
        raise StoreError(f"cannot be opened: {error}", where=str(path)) from error


def _document(item: Object | None) -> str | None:
    return None if item is None else item.model_dump_json(exclude_none=True, exclude_unset=True)


def _parsed(text: str | None) -> dict[str, object] | None:
    return None if text is None else json.loads(text)


def _text(who: str) -> str:
    """A name as the system gave it, which may not be UTF-8."""
    return who.encode(errors="replace").decode()


def _unsettled(batch: Sequence[_Write[Any]]) -> list[_Write[Any]]:
    return [write for write in batch if not write.outcome.done()]
