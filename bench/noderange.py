"""How fast node ranges are: `.venv/bin/python -m bench.noderange`. Needs nothing and no root; takes ten seconds.

Wanted (issue 3): 65,000 names expanded or folded in under 0.1 s, a range over 10,000 nodes in under 0.05 s.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from muster.host import process
from muster.model.documents import parse
from muster.model.noderange import expand, fold, select
from muster.model.world import Change, World

RUNS = 5
NODES = 10_000


def measure() -> str:
    """The figures as lines, medians in seconds."""
    flat, racks = "n[00001-65000]", "r[001-500]n[001-130]"
    gaps = [name for name in expand("n[00001-97500]") if int(name[1:]) % 3]
    world, states = _world(), {f"r{i // 100:02}n{i % 100:02}": "ready" for i in range(0, NODES, 8)}
    cases: dict[str, Callable[[], object]] = {
        f"expand {flat}": lambda: expand(flat),
        f"expand {racks}": lambda: expand(racks),
        "fold 65,000 names, one range": _folding(expand(flat)),
        "fold 65,000 names, 500 racks of 130": _folding(expand(racks)),
        "fold 65,000 names, every third missing": _folding(gaps),
        **{f"{text}, {NODES:,} nodes": _selecting(world, text, states) for text in RANGES},
        "muster noderange fold 'x[1-9]', a process": _command,
    }
    lines = [f"{text:64} {_median(case):8.4f} s" for text, case in cases.items()]
    return "\n".join([f"{_machine()}; median of {RUNS}", *lines])


RANGES = (
    "@all",
    "r[00-99]n[00-99]",
    "@compute&@rack:r07",
    "@rack:r[00-49]@gpu,-@state:ready",
    "rack=~r[0-4].!/r.*n1\\d",
)


def _world() -> World:
    profiles = [{"kind": "profile", "name": name, "image": "debian"} for name in ("default", "compute", "gpu")]
    nodes = [
        {
            "kind": "node",
            "name": f"r{i // 100:02}n{i % 100:02}",
            "profiles": ["compute", "gpu"] if i % 4 == 0 else ["compute"],
            "labels": {"rack": f"r{i // 100:02}", "row": str(i // 1000)},
        }
        for i in range(NODES)
    ]
    items = [parse(document) for document in (*profiles, *nodes)]
    return World().with_changes([Change(item.kind, item.name, None, item) for item in items], 1)


def _folding(names: list[str]) -> Callable[[], object]:
    return lambda: fold(names)


def _selecting(world: World, text: str, states: dict[str, str]) -> Callable[[], object]:
    return lambda: select(world, text, states)


def _command() -> None:
    process.run([sys.executable, "-m", "muster.cli.main", "noderange", "fold", "x[1-9]"])


def _median(case: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        case()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


if __name__ == "__main__":
    print(measure())
