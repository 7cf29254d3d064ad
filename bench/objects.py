"""Figures of the declaration: thousands of nodes applied, compared, exported, listed; one of them changed.

`python -m bench.objects [--nodes N]`: the real app as a process of its own over a store in a temporary folder, the
command line as processes too, so that each figure is what a person waits. Needs no root; takes under a minute.
"""

import argparse
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import text
from muster import settings
from muster.client import Client, ClientError
from muster.host import process
from muster.host.paths import Paths
from muster.model import urls
from muster.services.child import KEY

BASE = """\
kind: network
name: cluster
subnet: 10.64.0.0/12
address: 10.64.0.1
interface: lo
---
kind: profile
name: compute
kernel_arguments: [console=ttyS0, mitigations=auto]
---
"""
NODE = """\
kind: node
name: n{i:05d}
machine: {{uuid: 6ba7b810-9dad-11d1-80b4-00c0{i:08x}}}
interfaces:
- {{name: eth0, mac: 52:54:00:{a:02x}:{b:02x}:{c:02x}, address: 10.{x}.{y}.{z}/12}}
profiles: [compute]
labels: {{rack: r{rack}}}
power: {{driver: lab, address: 10.80.{y}.{z}}}
---
"""
REPEATED = 20
NODES = 10_000


def declaration(nodes: int) -> str:
    """The text form of so many nodes, with a network and a profile."""
    return BASE + "".join(_node(i) for i in range(1, nodes + 1))


def _node(i: int) -> str:
    places = {"a": i >> 16, "b": i >> 8 & 255, "c": i & 255, "x": 64 + i // 64516, "y": i // 254 % 254 + 1}
    return NODE.format(i=i, z=i % 254 + 1, rack=i // 40, **places)


def measure(nodes: int = NODES) -> str:
    """A table of seconds that each command took."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
        paths = _controller(Path(folder))
        file = Path(folder) / "nodes.yaml"
        file.write_text(declaration(nodes))
        with _app(paths):
            return f"{text.conditions()}\n\n{_measure(paths, file, nodes)}"


def _measure(paths: Paths, file: Path, nodes: int) -> str:
    name, last = str(file), f"n{nodes:05d}"
    rows = [
        (f"apply {nodes:,} new nodes", _seconds(paths, "apply", "--yes", name)),
        ("apply them again (nothing to change)", _seconds(paths, "apply", name)),
        ("diff", _seconds(paths, "diff", name)),
        ("export, yaml", _seconds(paths, "export")),
        ("export, json", _seconds(paths, "export", "-o", "json")),
        ("node list", _seconds(paths, "node", "list")),
        ("node list, names only", _seconds(paths, "node", "list", "-o", "name")),
        ("node set @all --dry-run", _seconds(paths, "node", "set", "@all", "domain=a.example", "--dry-run")),
        ("node set @all --yes", _seconds(paths, "node", "set", "@all", "domain=a.example", "--yes")),
        ("node set, one node", _seconds(paths, "node", "set", last, "domain=b.example")),
        ("one node changed, the app's part", _one(paths, last)),
    ]
    return text.table(("what", "seconds"), [(what, f"{seconds:.3f}") for what, seconds in rows])


def _one(paths: Paths, name: str) -> float:
    """The median of a single change over the socket, on disk when it is answered."""
    client, took = Client(paths.socket), []
    for i in range(REPEATED):
        started = time.perf_counter()
        client.post(urls.API_SET, {"kind": "node", "names": name, "assignments": {"domain": f"d{i}.example"}})
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def _seconds(paths: Paths, *words: str) -> float:
    command = [sys.executable, "-m", "muster.cli.main", "--prefix", str(paths.prefix), *words]
    started = time.perf_counter()
    process.run(command)
    return time.perf_counter() - started


def _controller(prefix: Path) -> Paths:
    """Folders, settings and key as `muster init` makes them, but this user's own."""
    paths = Paths(prefix)
    for folder in (paths.etc, paths.run, paths.state, paths.blobs / "sha256", paths.secrets, paths.tftp, paths.dnsmasq):
        folder.mkdir(parents=True)
    settings.write_default(paths.config, settings.check(("127.0.0.1:19898",), "19899", "4711", "warning"))
    (paths.secrets / "token-key").write_bytes(secrets.token_bytes(32))
    return paths


@contextmanager
def _app(paths: Paths) -> Iterator[None]:
    command = [sys.executable, "-m", "muster.daemon", "--prefix", str(paths.prefix)]
    with (paths.run / "app.log").open("wb") as log:
        app = process.start(command, env={KEY: secrets.token_hex(16)}, stdout=log)
    try:
        _wait(paths)
        yield
    finally:
        app.terminate()
        app.wait(30)


def _wait(paths: Paths, most: float = 60.0) -> None:
    until = time.monotonic() + most
    while True:
        try:
            Client(paths.socket).get(urls.API_VERSION_INFO)
            return
        except ClientError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.objects", description="Figures of declarations.")
    parser.add_argument("--nodes", type=int, default=NODES, help=f"how many ({NODES})")
    parser.add_argument("--markdown", action="store_true", help="keep the figures in docs/figures.md")
    options = parser.parse_args()
    figures = measure(options.nodes)
    print(figures)
    if options.markdown:
        text.keep("objects", figures)
