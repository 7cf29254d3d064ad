"""A store of an earlier release: copied, brought forward, and whole at whatever moment that is killed."""

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.host import process
from muster.model.errors import StoreError
from muster.model.objects import Node
from muster.store import migrations
from muster.store.database import Store
from muster.store.migrations import MIGRATIONS, migrate
from tests.cluster import FakeClock

ROOT = Path(__file__).parent.parent.parent
ROWS = """
INSERT INTO objects VALUES ('node', 'x1', '{"kind":"node","name":"x1","domain":"a.example"}', 2);
INSERT INTO changes VALUES (1, 1, 'node', 'x1', NULL, '{"kind":"node","name":"x1"}', 'alice', 1000.0);
INSERT INTO changes VALUES (2, 2, 'node', 'x1', '{"kind":"node","name":"x1"}',
    '{"kind":"node","name":"x1","domain":"a.example"}', 'bob', 1001.0);
"""
FATAL = "CREATE TABLE first (x); INSERT INTO first SELECT die() FROM changes; CREATE TABLE second (x);"


def earlier(path: Path, schema: int) -> None:
    """A store as the release with this schema left it, with the statements that it had."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    for step in MIGRATIONS[:schema]:
        raw.executescript(step)
    raw.execute(f"PRAGMA user_version={schema}")
    raw.executescript(ROWS)
    raw.close()


def shape(path: Path) -> list[tuple[str, str]]:
    """The schema's number and statements."""
    raw = sqlite3.connect(path)
    found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    number = raw.execute("PRAGMA user_version").fetchone()[0]
    raw.close()
    return [("schema", str(number)), *((name, " ".join(sql.split())) for name, sql in found)]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "fresh.db"
    Store(path, FakeClock()).close()
    yield path


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS)))
def test_an_earlier_store_is_brought_forward_after_a_copy(tmp_path: Path, fresh: Path, schema: int) -> None:
    path = tmp_path / "store.db"
    earlier(path, schema)
    before = shape(path)
    store = Store(path, FakeClock())
    assert store.world.get(Node, "x1").domain == "a.example" and store.world.revision == 2
    assert [record.who for record in store.history("node", "x1")] == ["bob", "alice"]
    store.close()
    assert shape(path) == shape(fresh)
    copy = tmp_path / f"store.db.schema-{schema}"
    assert shape(copy) == before
    shutil.copy(copy, path)
    Store(path, FakeClock()).close()
    assert not list(tmp_path.glob(".store*")), "nothing is left aside"


def test_a_newer_schema_is_refused_and_left_alone(fresh: Path) -> None:
    raw = sqlite3.connect(fresh)
    raw.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    raw.close()
    before = shape(fresh)
    with pytest.raises(StoreError, match="newer Muster"):
        Store(fresh, FakeClock())
    assert shape(fresh) == before


def test_a_step_that_fails_leaves_the_store_as_it_was(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shape(fresh)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE first (x); CREATE TABLE objects (x);"))
    with pytest.raises(StoreError, match="already exists"):
        Store(fresh, FakeClock())
    assert shape(fresh) == before


@pytest.mark.tools
@pytest.mark.parametrize("moment", ["copying", "moving"])
def test_killed_while_it_moves_it_is_the_old_store_and_moves_again(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "store.db"
    earlier(path, len(MIGRATIONS))
    before = shape(path)
    killed = process.run([sys.executable, "-m", "tests.store.test_migrations", path, moment], cwd=ROOT, check=False)
    assert killed.status == -signal.SIGKILL, killed
    assert shape(path) == before
    assert (tmp_path / f"store.db.schema-{len(MIGRATIONS)}").exists() == (moment == "moving")
    store = Store(path, FakeClock())
    assert store.world.revision == 2
    store.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def move(path: Path, moment: str) -> None:
    """Migrate one step further than this release, and be killed at it."""
    migrations.MIGRATIONS = (*MIGRATIONS, FATAL)
    if moment == "copying":
        Path.rename = lambda *_: die()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_function("die", 0, die)
    migrate(connection, path)


if __name__ == "__main__":
    move(Path(sys.argv[1]), sys.argv[2])
