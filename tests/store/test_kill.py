"""SIGKILL at any moment loses nothing that was acknowledged, and never leaves half a change."""

import subprocess
import sys
from pathlib import Path

import pytest

from muster.host import process
from muster.model.objects import Node
from muster.store.database import Store
from tests.cluster import FakeClock

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("kills", [20, pytest.param(500, marks=pytest.mark.soak)])
def test_killed_while_writing(tmp_path: Path, kills: int) -> None:
    path, at, acknowledged = tmp_path / "store.db", 0, -1
    argv = [sys.executable, "-m", "tests.store.writer", path]
    with process.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for _ in range(kills):
            writers.stdin.write(b"%d\n" % at)
            writers.stdin.flush()
            while (line := writers.stdout.readline()) != b"killed\n":
                assert line, "the writer ended by itself"
                acknowledged = int(line)
            names = stored(path)
            assert all((f"a{n}" in names) == (f"b{n}" in names) for n in range(acknowledged + 2)), "whole changes only"
            assert all(f"a{n}" in names for n in range(acknowledged + 1)), "what was acknowledged is there"
            at = len(names) // 2
        writers.stdin.close()
    assert acknowledged > kills, "they did write"


def stored(path: Path) -> set[str]:
    store = Store(path, FakeClock())
    store.close()
    return {node.name for node in store.world.all(Node)}
