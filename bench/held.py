"""What a change costs while thousands of heartbeats are held: CPU time of the whole process, with and without them.

`python -m bench.held [--nodes N]`. Needs no root; nothing listens, the heartbeats are those of the app itself.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import text
from bench.cli import booted, installed
from muster import daemon
from muster.controller.context import Context
from muster.controller.node_plan import NodeRequest
from muster.controller.objects import apply
from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.model.objects import Node
from muster.server.events import Events
from muster.server.held import Held, Place
from muster.services.nfs import Service

RUNS = 9
Act = Callable[[Context, int], object]


def measure(nodes: int) -> str:
    """A table: milliseconds of CPU time a change, without held heartbeats and with them; how many were called."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        paths = Paths(Path(folder))
        installed(paths)
        booted(paths, nodes)
        controller = daemon.build(paths, SystemClock(), lambda _command: None, Service())
        try:
            rows = [asyncio.run(_row(controller.context, what, act)) for what, act in ACTS.items()]
        finally:
            controller.close()
    head = (f"change, {nodes:,} nodes", "none held, ms", "held, ms", "called")
    return f"{text.conditions()}\n\n{text.table(head, rows)}"


def _put(context: Context, document: dict[str, object]) -> None:
    context.store.change(lambda world: apply(world, [document]), who="bench")


def _node(context: Context, **more: object) -> None:
    mac = context.world.get(Node, "n00001").interfaces[0].mac
    interfaces = [{"name": "eth0", "mac": mac, "address": "10.0.0.1/8"}]
    _put(context, {"kind": "node", "name": "n00001", "interfaces": interfaces, "profiles": ["compute"], **more})


def _profile(context: Context, **more: object) -> None:
    _put(context, {"kind": "profile", "name": "compute", "image": "debian12", **more})


ACTS: dict[str, Act] = {
    "a setting of one node": lambda c, run: _node(c, labels={"run": str(run)}),
    "upper_size of one node": lambda c, run: _node(c, upper_size=f"{run + 1}g"),
    "a setting of their profile": lambda c, run: _profile(c, kernel_arguments=[f"run={run}"]),
    "upper_size of their profile": lambda c, run: _profile(c, upper_size=f"{run + 1}g"),
}


async def _row(context: Context, what: str, act: Act) -> tuple[str, ...]:
    none, _ = await _times(context, act, [])
    boots = context.boots.by_node()
    requests = [NodeRequest(boots[n.name], n) for n in context.world.all(Node) if n.name in boots]
    held, called = await _times(context, act, requests)
    return what, f"{none:.2f}", f"{held:.2f}", f"{called:,}"


async def _times(context: Context, act: Act, requests: list[NodeRequest]) -> tuple[float, int]:
    """The median of RUNS changes, and how many heartbeats the last one called."""
    events = Events(context.store)
    held, took, called = Held(context, events), [], 0
    for run in range(RUNS):
        for request in requests:
            request.boot.upper_told = "50%"
        tasks = [asyncio.create_task(_wait(held, request)) for request in requests]
        await _idle()
        started = time.process_time()
        act(context, run)
        await _idle()
        took.append(time.process_time() - started)
        called = sum(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    events.close()
    return statistics.median(took) * 1000, called


async def _wait(held: Held, request: NodeRequest) -> None:
    with held.place(request) as place:
        assert isinstance(place, Place) and await held.called(place, 50)


async def _idle() -> None:
    """Let everything run that can."""
    for _ in range(8):
        await asyncio.sleep(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.held", description="Changes and held heartbeats.")
    parser.add_argument("--nodes", type=int, default=10_000, help="nodes, nearly all with a held heartbeat (10,000)")
    print(measure(parser.parse_args().nodes))


if __name__ == "__main__":
    main()
