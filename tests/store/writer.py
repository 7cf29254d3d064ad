"""For each number on standard input: a process that writes nodes from that number on, killed by SIGKILL a moment later.

It prints every number once it is acknowledged; `killed` ends the answer. The store is that of argv[1].
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from muster.controller.objects import apply
from muster.host.clock import SystemClock
from muster.store.database import Store
from tests.cluster import node


def write(start: int) -> None:
    store = Store(Path(sys.argv[1]), SystemClock())
    for number in range(start, start + 1_000_000):
        documents = [node(f"a{number}"), node(f"b{number}")]
        store.change(lambda world, documents=documents: apply(world, documents), who="writer")
        os.write(1, b"%d\n" % number)


for line in sys.stdin:
    writer = os.fork()
    if writer == 0:
        write(int(line))
    time.sleep(random.uniform(0, 0.08))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    os.write(1, b"killed\n")
