"""What the store promised is there after a reopening; what it refused changed nothing."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from muster.controller.objects import apply, delete
from muster.model.cascade import effective
from muster.model.errors import ConflictError, StoreError
from muster.model.objects import Node
from muster.model.world import Change, World
from muster.store.database import Store
from tests.cluster import FakeClock, node

Open = Callable[[], Store]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open the store of this test again."""
    stores: list[Store] = []

    def make() -> Store:
        for store in stores:
            store.close()
        stores.append(Store(tmp_path / "store.db", FakeClock(1000.0)))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def put(store: Store, *documents: dict[str, object], based_on: int | None = None, who: str = "root") -> None:
    store.change(lambda world: apply(world, documents), who=who, based_on=based_on)


def test_everything_survives_a_reopening(opened: Open) -> None:
    store = opened()
    put(store, {"kind": "profile", "name": "p", "serial_console": {"speed": 9600}, "power": {"driver": "lab"}})
    put(
        store,
        node("x1", profiles=["p"], serial_console={"device": "ttyS1"}, power={"address": "/s"}, labels={"a": "b"}),
    )
    before = store.world
    after = opened().world
    assert after == before
    settings = effective(after, after.get(Node, "x1")).settings
    assert settings.serial_console is not None and settings.power is not None
    assert (settings.serial_console.device, settings.serial_console.speed) == ("ttyS1", 9600)
    assert (settings.power.driver, settings.power.address) == ("lab", "/s")


def test_saying_a_default_aloud_is_a_change(opened: Open) -> None:
    store = opened()
    put(store, node("x1", serial_console={"device": "ttyS1"}))
    put(store, node("x1", serial_console={"device": "ttyS1", "speed": 115200}))
    found = opened().world.get(Node, "x1").serial_console
    assert found is not None and found.model_fields_set == {"device", "speed"}


def test_every_change_is_told_with_who_and_when(opened: Open) -> None:
    store = opened()
    put(store, node("x1"), node("x2"), who="alice")
    put(store, node("x1", domain="a.example"), who="bob")
    store.change(lambda world: delete(world, "node", "x2"), who="carol")
    store = opened()
    told = [(r.revision, r.name, r.who, r.at, r.before is None, r.after is None) for r in store.changes(0)]
    assert told == [
        (1, "x1", "alice", 1000.0, True, False),
        (1, "x2", "alice", 1000.0, True, False),
        (2, "x1", "bob", 1000.0, False, False),
        (3, "x2", "carol", 1000.0, False, True),
    ]
    assert [r.name for r in store.changes(1)] == ["x1", "x2"]
    assert [r.who for r in store.history("node", "x1")] == ["bob", "alice"]


def test_acts_without_a_change_are_in_the_log(opened: Open) -> None:
    store = opened()
    put(store, node("x1"))
    store.note("power", "off", ["x1", "x2"], "alice")
    assert store.history("power", "x2")[0].after == {"verb": "off"}
    assert opened().world.revision == 1


def test_a_stale_write_is_refused_and_names_who_was_first(opened: Open) -> None:
    store = opened()
    put(store, node("x1"), node("x2"))
    read_at = store.world.revision
    put(store, node("x1", domain="first.example"), who="alice")
    with pytest.raises(ConflictError, match=r"x1 \(by alice\)"):
        put(store, node("x1", domain="second.example"), node("x2", domain="second.example"), based_on=read_at)
    assert store.world.get(Node, "x2").domain is None
    put(store, node("x2", domain="other.example"), based_on=read_at)
    store.change(lambda world: delete(world, "node", "x2"), who="bob")
    with pytest.raises(ConflictError, match="by bob"):
        put(store, node("x2"), based_on=read_at)


def test_a_plan_that_fails_changes_nothing(opened: Open) -> None:
    store = opened()
    put(store, node("x1"))
    with pytest.raises(ConflictError):
        put(store, node("x2"), node("x3", profiles=["nowhere"]))
    assert [n.name for n in store.world.all(Node)] == ["x1"]
    assert store.world.revision == opened().world.revision == 1


def test_a_full_disk_is_said_and_the_old_world_stays(opened: Open) -> None:
    store = opened()
    put(store, node("x1"))
    connection = store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    many = [node(f"y{i}", labels={f"k{j}": "v" * 200 for j in range(20)}) for i in range(50)]
    heard: list[World] = []
    store.subscribe(heard.append)
    with pytest.raises(StoreError, match="nothing was changed") as caught:
        put(store, *many)
    assert "full" in str(caught.value) and "store.db" in caught.value.where
    assert [n.name for n in store.world.all(Node)] == ["x1"] and not heard
    connection.execute("PRAGMA max_page_count=100000")
    put(store, *many)
    assert len(list(opened().world.all(Node))) == 51


@pytest.mark.parametrize("damage", ["garbage", "document", "kind"])
def test_a_broken_store_is_not_an_empty_one(opened: Open, tmp_path: Path, damage: str) -> None:
    put(opened(), node("x1"))
    opened().close()
    if damage == "garbage":
        (tmp_path / "store.db").write_bytes(b"not a database at all" * 500)
    else:
        raw = sqlite3.connect(tmp_path / "store.db")
        raw.execute("UPDATE objects SET document='{}'" if damage == "document" else "UPDATE objects SET kind='rack'")
        raw.commit()
        raw.close()
    with pytest.raises(StoreError, match=r"store\.db"):
        opened()


def test_listeners_hear_of_what_was_committed(opened: Open) -> None:
    store = opened()
    heard: list[int] = []
    store.subscribe(lambda world: heard.append(world.revision))
    put(store, node("x1"))
    put(store, node("x1"))
    assert heard == [1], "the second one changed nothing"


def test_many_writers_lose_nothing(opened: Open) -> None:
    store = opened()

    def write(writer: int) -> None:
        for i in range(10):
            put(store, node(f"w{writer}-{i}"))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = opened().world
    assert (len(list(after.all(Node))), after.revision) == (40, 40)


def test_the_answer_comes_only_after_the_commit(opened: Open, tmp_path: Path) -> None:
    store = opened()
    put(store, node("x1"))
    other = sqlite3.connect(tmp_path / "store.db")
    assert other.execute("SELECT name FROM objects").fetchall() == [("x1",)]
    other.close()

    def nothing(world: World) -> tuple[str, Sequence[Change]]:
        return f"at {world.revision}", []

    assert store.change(nothing, who="x") == "at 1"
