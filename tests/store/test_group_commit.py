"""Writers that meet share one commit: each plans on all before it, fails alone, and hears of it once it is on disk."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from muster.model.errors import ConflictError, RequestError, StoreError
from muster.model.objects import Node
from muster.model.world import Change, World
from muster.store.database import Plan, Store
from tests.cluster import FakeClock

WRITERS = 12


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store.db", FakeClock())
    yield opened
    opened.close()


def put(name: str, domain: str = "a.example") -> Plan[int]:
    """A plan that makes or replaces a node and answers how many there were."""

    def plan(world: World) -> tuple[int, Sequence[Change]]:
        after = Node(name=name, domain=domain)
        return len(world.objects), [Change("node", name, world.find(Node, name), after)]

    return plan


class Gathered:
    """`ask` lets calls wait behind a commit that is under way; at the end of the block they make one batch."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(WRITERS + 1)
        self._go, self._held = threading.Event(), threading.Event()
        self._asked = 0

    def __enter__(self) -> "Gathered":
        def hold(_world: World) -> tuple[None, Sequence[Change]]:
            self._held.set()
            assert self._go.wait(10)
            return None, []

        self._pool.submit(self._store.change, hold, who="first")
        assert self._held.wait(10)
        return self

    def ask(self, call: Callable[[], int]) -> "Future[int]":
        self._asked += 1
        future = self._pool.submit(call)
        while len(self._store._waiting) < self._asked:
            threading.Event().wait(0.001)
        return future

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._pool.shutdown()


def test_one_commit_for_all_each_on_what_the_others_left(store: Store) -> None:
    commits: list[str] = []
    heard: list[int] = []
    store.subscribe(lambda world: heard.append(world.revision))
    store._connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    with Gathered(store) as gathered:
        answers = [gathered.ask(lambda n=n: store.change(put(f"n{n}"), who="x")) for n in range(WRITERS)]
    assert [answer.result() for answer in answers] == list(range(WRITERS))
    assert commits == ["COMMIT"] and heard == [WRITERS]
    assert [record.revision for record in store.changes(0)] == list(range(1, WRITERS + 1)), "a revision each"


def test_a_bad_plan_and_a_stale_write_fail_alone(store: Store) -> None:
    store.change(put("n1"), who="x")

    def refused(_world: World) -> tuple[int, Sequence[Change]]:
        raise RequestError("no such thing")

    def broken(_world: World) -> tuple[int, Sequence[Change]]:
        raise ZeroDivisionError

    with Gathered(store) as gathered:
        first = gathered.ask(lambda: store.change(put("n1", "b.example"), who="alice", based_on=1))
        stale = gathered.ask(lambda: store.change(put("n1", "c.example"), who="bob", based_on=1))
        bad = gathered.ask(lambda: store.change(refused, who="x"))
        wrong = gathered.ask(lambda: store.change(broken, who="x"))
        last = gathered.ask(lambda: store.change(put("n2"), who="x"))
    assert (first.result(), last.result()) == (1, 1)
    with pytest.raises(ConflictError, match="by alice"):
        stale.result()
    with pytest.raises(RequestError, match="no such thing"):
        bad.result()
    with pytest.raises(ZeroDivisionError):
        wrong.result()
    assert store.world.get(Node, "n1").domain == "b.example" and store.world.revision == 3


def test_a_commit_that_fails_fails_everybody_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    store.change(put("n1"), who="x")
    before = store.world
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    store._connection.execute("PRAGMA busy_timeout=50")
    with Gathered(store) as gathered:
        answers = [gathered.ask(lambda n=n: store.change(put(f"m{n}"), who="x")) for n in range(3)]
        other.execute("BEGIN IMMEDIATE")
    for answer in answers:
        with pytest.raises(StoreError, match=r"nothing was changed.*locked"):
            answer.result()
    other.execute("ROLLBACK")
    assert store.world is before
    assert other.execute("SELECT name FROM objects").fetchall() == [("n1",)]
    other.close()
    assert store.change(put("n2"), who="x") == 1, "and the next one goes on"


def test_a_writer_that_is_stopped_leaves_nobody_waiting(store: Store) -> None:
    def interrupted(_world: World) -> tuple[int, Sequence[Change]]:
        raise KeyboardInterrupt

    with Gathered(store) as gathered:
        first = gathered.ask(lambda: store.change(put("n1"), who="x"))
        stopped = gathered.ask(lambda: store.change(interrupted, who="x"))
        after = gathered.ask(lambda: store.change(put("n2"), who="x"))
    raised = [type(answer.exception()) for answer in (first, stopped, after)]
    assert set(raised) <= {StoreError, KeyboardInterrupt} and raised.count(KeyboardInterrupt) == 1
    assert store.world.revision == 0 and store.change(put("n1"), who="x") == 0
