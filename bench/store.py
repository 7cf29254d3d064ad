"""The store and the app that holds it: commits, start, memory, and the questions of 10,000 nodes. Needs no root.

    python -m bench.store [--nodes 10000,100000] [--markdown]

The store lies in a temporary folder: set TMPDIR to measure another disk. No node boots and nothing is rendered.
"""

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import text
from muster import settings
from muster.client import Client, ClientError
from muster.controller.objects import apply
from muster.host import process
from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.model import urls
from muster.model.objects import Node
from muster.model.world import Change, World
from muster.services.child import KEY
from muster.services.prepare import TOKEN_KEY
from muster.store.database import Store

SECONDS = 3.0
WRITERS = (1, 8, 50)
SIZES = (10_000, 100_000)
START_SECONDS = 120.0
APPLIED = 10_000
SEEDED_AT_ONCE = 10_000
PORT = 19_899
COLUMNS = "name,state,image,profiles"
NETWORK: dict[str, object] = {
    "kind": "network",
    "name": "lab",
    "subnet": "10.0.0.0/8",
    "address": "10.255.255.1",
    "interface": "br0",
}
PROFILE: dict[str, object] = {"kind": "profile", "name": "compute", "kernel_arguments": ["console=ttyS0"]}


def node(number: int) -> dict[str, object]:
    """A node as a site declares it: its machine, an interface, a profile, a label."""
    high, low = divmod(number, 65_536)
    return {
        "kind": "node",
        "name": f"n{number:06d}",
        "machine": {"uuid": f"6ba7b810-9dad-11d1-80b4-00c0{number:08x}"},
        "interfaces": [
            {
                "name": "eth0",
                "mac": f"52:54:00:{high:02x}:{low >> 8:02x}:{low & 255:02x}",
                "address": f"10.{high}.{low >> 8}.{low & 255}/8",
            }
        ],
        "profiles": ["compute"],
        "labels": {"rack": f"r{number // 40}"},
    }


def commits(writers: int) -> float:
    """Commits a second of that many threads, each changing a node of its own as fast as it is acknowledged."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store.db", SystemClock())
        done = [0] * writers
        deadline = time.monotonic() + SECONDS

        def write(number: int) -> None:
            while time.monotonic() < deadline:
                store.change(lambda world: _renamed(world, number, done[number]), who="bench")
                done[number] += 1

        threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
        return sum(done) / SECONDS


def _renamed(world: World, number: int, count: int) -> tuple[None, Sequence[Change]]:
    name = f"n{number}"
    return None, [Change("node", name, world.find(Node, name), Node(name=name, domain=f"d{count}.example"))]


@dataclass(frozen=True)
class App:
    """A running app. `started`: seconds from its process's start until it answered; `rss`: its memory in bytes."""

    client: Client
    pid: int
    started: float

    @property
    def rss(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


def prepared(folder: Path) -> Paths:
    """The folders and files that `muster init` makes, for whoever runs this."""
    paths = Paths(folder)
    for each in (paths.etc, paths.run, paths.blobs, paths.secrets, paths.tftp, paths.dnsmasq):
        each.mkdir(parents=True)
    (paths.secrets / TOKEN_KEY).write_bytes(b"k" * 32)
    settings.write_default(paths.config, settings.Settings(("127.0.0.1:19898",), PORT, log_level="error"))
    return paths


def seed(paths: Paths, nodes: int) -> None:
    """A store with that many nodes."""
    store = Store(paths.store, SystemClock())
    store.change(lambda world: apply(world, [NETWORK, PROFILE]), who="bench")
    for first in range(0, nodes, SEEDED_AT_ONCE):
        made = [Node.model_validate(node(number)) for number in range(first, min(nodes, first + SEEDED_AT_ONCE))]
        changes = [Change("node", each.name, None, each) for each in made]
        store.change(lambda _world, changes=changes: (None, changes), who="bench")
    store.close()


@contextmanager
def app(paths: Paths) -> Iterator[App]:
    """The app of this prefix, until the end of the block."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "muster.daemon", "--prefix", paths.prefix]
    with process.start(argv, env={KEY: "bench"}) as child:
        try:
            client = Client(paths.socket, timeout=300)
            while not _answers(client):
                if child.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise TimeoutError("the app does not answer")
                time.sleep(0.01)
            yield App(client, child.pid, time.monotonic() - began)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()


def _answers(client: Client) -> bool:
    try:
        client.get(urls.API_VERSION_INFO)
    except ClientError:
        return False
    return True


def _seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def starting(sizes: Sequence[int]) -> str:
    """Start and memory by the number of nodes, the empty store first; the first start builds the node segment."""
    rows, empty = [], 0
    for size in (0, *sizes):
        with tempfile.TemporaryDirectory() as folder:
            paths = prepared(Path(folder))
            with app(paths):
                pass
            seed(paths, size)
            with app(paths) as running:
                rss, disk = running.rss, paths.store.stat().st_size
                empty = empty or rss
                each = text.size((rss - empty) / size) if size else "-"
                rows.append((f"{size:,}", f"{running.started:.2f}", text.size(rss), each, text.size(disk)))
    return text.table(("nodes", "start to serving, s", "RSS of the app", "a node", "store.db"), rows)


def asking() -> str:
    """Applied, listed and shown over the socket, as a client's seconds."""
    with tempfile.TemporaryDirectory() as folder, app(prepared(Path(folder))) as running:
        client, documents = running.client, [NETWORK, PROFILE, *map(node, range(APPLIED))]
        listing = urls.API_OBJECTS.format(kind="node")
        acts: tuple[tuple[str, Callable[[], object]], ...] = (
            ("apply, all new", lambda: client.post(urls.API_APPLY, {"documents": documents})),
            ("apply again, nothing to do", lambda: client.post(urls.API_APPLY, {"documents": documents})),
            ("list, four columns", lambda: client.get(listing, {"columns": COLUMNS})),
            ("list, whole documents", lambda: client.get(listing)),
            ("change one", lambda: client.post(urls.API_APPLY, {"documents": [node(1) | {"domain": "a.example"}]})),
        )
        rows = [(what, f"{_seconds(act):.2f}") for what, act in acts]
    return text.table((f"{APPLIED:,} nodes", "seconds"), rows)


def measure(sizes: Sequence[int]) -> str:
    """Everything, as Markdown."""
    committed = [(str(writers), f"{commits(writers):.0f}") for writers in WRITERS]
    parts = (
        text.machine("kvm").replace(", KVM", ""),
        text.table(("writers", "commits a second"), committed),
        starting(sizes),
        asking(),
    )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description="The store, and the app that holds it.")
    parser.add_argument("--nodes", help="how many nodes the app holds (10000,100000)")
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    sizes = [int(size) for size in options.nodes.split(",")] if options.nodes else SIZES
    figures = measure(sizes)
    print(figures)
    if options.markdown:
        text.keep("store", figures)


if __name__ == "__main__":
    main()
