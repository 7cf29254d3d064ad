"""For each `SECONDS PATH` on standard input: a process whose threads write to that store, killed within that time.

Thread N raises the counter of nodes aN and bN, and that of `all`, in one change each time, and prints `N COUNT` once
that is acknowledged; `killed` ends the answer. The processes are forked from this warm one: a kill takes milliseconds.
"""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from muster.host.clock import SystemClock
from muster.model.objects import Node
from muster.model.world import Change, World
from muster.store.database import Store

THREADS = 4


def count(world: World, name: str) -> int:
    known = world.find(Node, name)
    return int((known.labels or {})["count"]) if known else 0


def raised(world: World, thread: int) -> tuple[int, Sequence[Change]]:
    changes = []
    for name in (f"a{thread}", f"b{thread}", "all"):
        after = Node(name=name, labels={"count": str(count(world, name) + 1)})
        changes.append(Change("node", name, world.find(Node, name), after))
    return count(world, f"a{thread}") + 1, changes


def write(store: Store, thread: int) -> None:
    while True:
        reached = store.change(lambda world: raised(world, thread), who=f"thread {thread}")
        os.write(1, b"%d %d\n" % (thread, reached))


def live(path: Path) -> None:
    store = Store(path, SystemClock())
    for thread in range(1, THREADS):
        threading.Thread(target=write, args=(store, thread)).start()
    write(store, 0)


if __name__ == "__main__":
    for line in sys.stdin:
        seconds, path = line.split(maxsplit=1)
        writer = os.fork()
        if writer == 0:
            live(Path(path.strip()))
        time.sleep(random.uniform(0, float(seconds)))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.write(1, b"killed\n")
