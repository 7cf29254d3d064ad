"""SIGKILL at any moment loses nothing that was acknowledged, and never leaves half a change."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from muster.host import process
from muster.store.database import Store
from tests.cluster import FakeClock
from tests.store.writer import THREADS, count

ROOT = Path(__file__).parent.parent.parent
KILLS_PER_STORE = 100
"""Then a new store is begun, so that looking through it whole stays quick."""


@dataclass
class Life:
    """The writers of one store, each living `longest` seconds at most; what was acknowledged: the highest count of each
    thread, and how often in all."""

    path: Path
    longest: float
    reached: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(THREADS), 0))
    acknowledged: int = 0

    def live_and_die(self, order: IO[bytes], told: IO[bytes]) -> None:
        order.write(f"{self.longest} {self.path}\n".encode())
        order.flush()
        while (line := told.readline()) != b"killed\n":
            assert line, "the writer ended by itself"
            thread, number = map(int, line.split())
            assert number > self.reached[thread], "no count is acknowledged twice"
            self.reached[thread] = number
            self.acknowledged += 1

    def check(self) -> None:
        store = Store(self.path, FakeClock())
        world = store.world
        found = {thread: count(world, f"a{thread}") for thread in self.reached}
        for thread, number in found.items():
            assert count(world, f"b{thread}") == number, "whole changes only"
            assert self.reached[thread] <= number <= self.reached[thread] + 1, "what was acknowledged is there"
        assert count(world, "all") == sum(found.values()) == world.revision, "each planned on all before it"
        assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        told = store._connection.execute("SELECT DISTINCT revision FROM changes ORDER BY revision").fetchall()
        assert [revision for (revision,) in told] == list(range(1, world.revision + 1)), "no revision is missing"
        store.close()
        self.reached = found


@pytest.mark.parametrize(("kills", "longest"), [(20, 0.06), pytest.param(10_000, 0.016, marks=pytest.mark.soak)])
def test_killed_while_writing(tmp_path: Path, kills: int, longest: float) -> None:
    """Opening the store is a third of the shorter life: it is killed at that, too."""
    argv = [sys.executable, "-m", "tests.store.writer"]
    acknowledged = committed = 0
    with process.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for first in range(0, kills, KILLS_PER_STORE):
            life = Life(tmp_path / f"{first}.db", longest)
            for _ in range(min(KILLS_PER_STORE, kills - first)):
                life.live_and_die(writers.stdin, writers.stdout)
                life.check()
            acknowledged += life.acknowledged
            committed += sum(life.reached.values())
        writers.stdin.close()
    print(f"{kills} kills, {acknowledged} changes acknowledged, {committed} committed")
    assert acknowledged > 0, "they did write"
