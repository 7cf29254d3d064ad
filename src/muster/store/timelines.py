"""Boots and what their machines reported, kept over restarts in a database of their own.

Progress and heartbeats stay in memory; these rows are for `node trace` and for knowing, after a restart,
who was ready. Losing the last second of them at a power cut harms nobody, so writes do not wait for the disk.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.model.errors import StoreError
from muster.store.stopgap import as_it_is

KEPT_BOOTS = 10
"""Boots remembered for each machine."""

KEPT_REPORTS = 1000
"""Reports remembered of each boot, the newest: a node may fail and try again for weeks."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS boots (
    boot TEXT PRIMARY KEY, machine TEXT NOT NULL, node TEXT, kernel_boot TEXT NOT NULL, started REAL NOT NULL,
    facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS boots_by_machine ON boots (machine, started);
CREATE TABLE IF NOT EXISTS reports (
    boot TEXT NOT NULL, at REAL NOT NULL, uptime REAL NOT NULL, stage TEXT NOT NULL, status TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS reports_by_boot ON reports (boot);
CREATE TABLE IF NOT EXISTS given (boot TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
DELETE FROM given WHERE boot NOT IN (SELECT boot FROM boots);
"""
"""Run at each start, so it also brings an older record forward: a table is added, none is changed. A release that does
not know `given` leaves its rows behind when it forgets a boot; the last line takes those away."""


@dataclass(frozen=True)
class BootRecord:
    """One boot of one machine. `started` is Unix time of its hello in seconds."""

    boot: str
    machine: str
    node: str | None
    kernel_boot: str
    started: float
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Report:
    """What a node said at a stage. `at`: when we heard it (Unix seconds); `uptime`: the node's own seconds."""

    at: float
    uptime: float
    stage: str
    status: str
    message: str = ""


class Timelines:
    """Open with a path; may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stopgap = False
        try:
            self._connection = self._writable()
        except sqlite3.Error as error:
            try:
                self._connection, self._stopgap = as_it_is(path, 0, error), True
            except sqlite3.Error as reason:
                raise StoreError(f"cannot be opened: {reason}", where=str(path)) from error

    def _writable(self) -> sqlite3.Connection:
        with ExitStack() as failing:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
            failing.enter_context(closing(connection))
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            failing.pop_all()
        return connection

    def add_boot(self, record: BootRecord) -> None:
        """Remember a boot; the machine's oldest ones beyond KEPT_BOOTS go."""
        with self._lock:
            self._execute(
                "INSERT OR REPLACE INTO boots VALUES (?, ?, ?, ?, ?, ?)",
                (
                    record.boot,
                    record.machine,
                    record.node,
                    record.kernel_boot,
                    record.started,
                    json.dumps(record.facts),
                ),
            )
            rows = self._execute(
                "SELECT boot FROM boots WHERE machine=? ORDER BY started DESC LIMIT -1 OFFSET ?",
                (record.machine, KEPT_BOOTS),
            )
            for (boot,) in rows:
                for table in ("reports", "given", "boots"):
                    self._execute(f"DELETE FROM {table} WHERE boot=?", (boot,))

    def forget(self, machine: str) -> None:
        """Drop everything that is remembered of a machine."""
        with self._lock:
            for table in ("reports", "given", "boots"):
                mine = "boot IN (SELECT boot FROM boots WHERE machine=?)"
                self._execute(f"DELETE FROM {table} WHERE {mine}", (machine,))

    def assign(self, boot: str, node: str | None) -> None:
        """The machine of this boot is now that node."""
        with self._lock:
            self._execute("UPDATE boots SET node=? WHERE boot=?", (node, boot))

    def give(self, boot: str, document: Mapping[str, object] | None) -> None:
        """Remember what this boot was given, in place of what was remembered of it."""
        with self._lock:
            if document is None:
                self._execute("DELETE FROM given WHERE boot=?", (boot,))
            else:
                self._execute("INSERT OR REPLACE INTO given VALUES (?, ?)", (boot, json.dumps(document)))

    def given(self) -> dict[str, object]:
        """What was given to each boot of which it is remembered."""
        with self._lock:
            if self._stopgap and not self._execute("SELECT name FROM sqlite_master WHERE name='given'"):
                return {}  # the record of an older release on a disk that takes nothing
            return {boot: json.loads(text) for boot, text in self._execute("SELECT boot, document FROM given")}

    def add_report(self, boot: str, report: Report) -> None:
        with self._lock:
            self._execute(
                "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?)",
                (boot, report.at, report.uptime, report.stage, report.status, report.message),
            )
            self._execute(
                "DELETE FROM reports WHERE boot=?1 AND rowid <="
                " (SELECT rowid FROM reports WHERE boot=?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)",
                (boot, KEPT_REPORTS),
            )

    def latest_boots(self) -> list[BootRecord]:
        """The last boot of each machine."""
        with self._lock:
            rows = self._execute(
                "SELECT boot, machine, node, kernel_boot, max(started), facts FROM boots GROUP BY machine"
            )
        return [_record(row) for row in rows]

    def boots_of(self, node: str) -> list[BootRecord]:
        """The boots of one node, newest first."""
        query = "SELECT boot, machine, node, kernel_boot, started, facts FROM boots WHERE node=? ORDER BY started DESC"
        with self._lock:
            return [_record(row) for row in self._execute(query, (node,))]

    def reports(self, boot: str) -> list[Report]:
        """The reports of one boot in the order of arrival."""
        query = "SELECT at, uptime, stage, status, message FROM reports WHERE boot=? ORDER BY rowid"
        with self._lock:
            rows = self._execute(query, (boot,))
        return [Report(at, uptime, stage, status, message) for at, uptime, stage, status, message in rows]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _execute(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        if self._stopgap:
            with suppress(sqlite3.Error):
                writable = self._writable()
                self._connection.close()
                self._connection, self._stopgap = writable, False
        try:
            rows: list[Any] = self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the record of boots cannot be used: {error}") from error
        return rows


def _record(row: Any) -> BootRecord:
    boot, machine, node, kernel_boot, started, facts = row
    return BootRecord(boot, machine, node, kernel_boot, started, json.loads(facts))
