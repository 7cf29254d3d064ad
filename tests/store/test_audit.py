"""The audit log by object, person and time; every selection walks an index, however old the log is."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from muster.model.errors import StoreError
from muster.store import audit
from muster.store.audit import Selection
from muster.store.migrations import migrate


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Twenty changes in ten revisions: nodes n0 to n9 by turns of root and alice, each with a `power` of it."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path)
        rows = [
            (number, kind, f"n{number}", "{}", ("root", "alice")[number % 2], 1000.0 + number)
            for number in range(10)
            for kind in ("node", "power")
        ]
        query = "INSERT INTO changes (revision, kind, name, after, who, at) VALUES (?, ?, ?, ?, ?, ?)"
        connection.executemany(query, rows)
    yield path


def said(path: Path, wanted: Selection) -> list[str]:
    return [f"{record.kind} {record.name}" for record in audit.read(path, wanted)]


def test_newest_first_and_no_more_than_asked_for(log: Path) -> None:
    assert said(log, Selection(limit=3)) == ["power n9", "node n9", "power n8"]
    assert said(log, Selection(("power",), limit=2)) == ["power n9", "power n8"]
    assert said(log, Selection(("node", "power"), ("n3",))) == ["power n3", "node n3"]
    assert said(log, Selection(("node",), ("n3", "n5"), "alice", 1004.0)) == ["node n5"]
    assert said(log, Selection(who="root", since=1008.0)) == ["power n8", "node n8"]
    assert said(log, Selection(since=2000.0)) == []


@pytest.mark.parametrize(
    "wanted",
    [
        Selection(("node",)),
        Selection(("node",), ("n1",)),
        Selection(who="alice"),
        Selection(since=1005.0),
        Selection(("node",), None, "alice", 1005.0),
    ],
)
def test_no_selection_sorts_or_reads_the_whole_log(log: Path, wanted: Selection) -> None:
    where, values = audit._conditions(wanted, wanted.kinds[0] if wanted.kinds else None)
    with closing(sqlite3.connect(log)) as connection:
        query = f"EXPLAIN QUERY PLAN SELECT * FROM changes WHERE {where} ORDER BY sequence DESC LIMIT 5"
        plan = [row[3] for row in connection.execute(query, values)]
    assert not [step for step in plan if "TEMP B-TREE" in step or step == "SCAN changes"], plan


def test_a_store_that_cannot_be_read_is_not_an_empty_log(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        audit.read(tmp_path / "nothing.db", Selection())
    (tmp_path / "broken.db").write_bytes(b"x" * 8192)
    with pytest.raises(StoreError, match="cannot be read"):
        audit.read(tmp_path / "broken.db", Selection())
