"""How long an administrator waits: whole commands, from the shell, against a real app that knows many nodes.

`python -m bench.cli [--nodes N] [--runs N]`. Needs no root; the app listens on loopback and on a socket in a
temporary folder, and ends with the measurement.
"""

import argparse
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from muster import daemon, settings
from muster.boot.decide import Run
from muster.boot.parts import parts
from muster.boot.plan import node_lines
from muster.client import Client, ClientError
from muster.controller.context import Context
from muster.controller.given import Given, Laid
from muster.controller.images import register
from muster.controller.next_boot import NextBoot, of_node
from muster.controller.node_context import template_context
from muster.controller.objects import apply
from muster.controller.reboot import ground
from muster.host import process
from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.model import urls
from muster.model.objects import Node
from muster.services.child import KEY
from muster.services.nfs import Service
from muster.store.blobs import Blobs
from muster.store.timelines import BootRecord, Report, Timelines

LIMIT = 0.2
START_SECONDS = 60.0
CHANGED = "status after a change of every node"
WORDS = {
    "version": ("version",),
    "status": ("status",),
    "node list": ("node", "list"),
    "node list -o name": ("node", "list", "-o", "name"),
    "node list n[1-16]": ("node", "list", "n[00001-00016]"),
    "node show": ("node", "show", "n00001"),
    "audit": ("audit",),
    "audit node NAME": ("audit", "node", "n00001"),
}
COMPLETIONS = {
    "complete a verb": "muster node ",
    "complete a node": "muster node show n0999",
    "complete every node": "muster node show ",
    "complete a setting": "muster node set n00001 ima",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cli", description="The time of a command.")
    parser.add_argument("--nodes", type=int, default=10_000, help="nodes that the app knows (10,000)")
    parser.add_argument("--runs", type=int, default=7, help="runs of each command (7)")
    options = parser.parse_args()
    print(measure(options.nodes, options.runs))


def measure(nodes: int, runs: int) -> str:
    """A table: the median and the slowest of `runs` of each command, in milliseconds."""
    with serving(nodes) as prefix:
        rows = [(name, _times(prefix, words, {}, runs)) for name, words in WORDS.items()]
        rows += [(name, _times(prefix, (), _typed(line), runs)) for name, line in COMPLETIONS.items()]
        rows += [(CHANGED, _after_changes(Paths(prefix), runs))]
    lines = [f"| command, {nodes} nodes | median ms | slowest ms |", "|---|---|---|"]
    lines += [f"| {name} | {statistics.median(t) * 1000:.0f} | {max(t) * 1000:.0f} |" for name, t in rows]
    return "\n".join(lines)


@contextmanager
def serving(nodes: int) -> Iterator[Path]:
    """A prefix whose app runs and knows `nodes` nodes, nearly all of them ready."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        installed(paths)
        booted(paths, nodes)
        environment = {KEY: secrets.token_urlsafe(32)}
        with (paths.prefix / "app.log").open("wb") as log:
            argv = [sys.executable, "-m", "muster.daemon", "--prefix", folder]
            app = process.start(argv, stdout=log, stderr=log, env=environment)
            try:
                _answering(paths)
                yield paths.prefix
            finally:
                app.terminate()
                app.wait()


def installed(paths: Paths) -> None:
    """Folders, settings and key as `muster init` makes them, but this user's own."""
    for path in (paths.etc, paths.run, paths.blobs, paths.secrets, paths.tftp, paths.dnsmasq):
        path.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    settings.write_default(paths.config, settings.Settings((f"127.0.0.1:{port % 60000 + 1024}",), port))
    (paths.secrets / "token-key").write_bytes(secrets.token_bytes(32))


def booted(paths: Paths, nodes: int) -> None:
    """All but one of a hundred run what they would be given now, as their boots' record says."""
    controller = daemon.build(paths, SystemClock(), lambda _command: None, Service())
    context = controller.context
    try:
        register(context, _version(context.blobs), "latest", "bench")
        context.store.change(lambda world: apply(world, _documents(nodes)), who="bench")
        now, timelines, started = context.next_boots.now(ground(context)), Timelines(paths.boots), time.time()
        for number in range(1, nodes + 1):
            if number % 100:
                boot, name = f"{number:016x}", f"n{number:05}"
                given = _given(context, now.of(context.world.get(Node, name), "x86_64"), name)
                facts = {"macs": [_mac(number)], "kernel": "6.1.0", "architecture": "x86_64"}
                timelines.add_boot(BootRecord(boot, f"{number:064x}", name, boot, started, facts))
                timelines.give(boot, asdict(given))
                timelines.add_report(boot, Report(started, 20.0, "ready", "done"))
        timelines.close()
    finally:
        controller.close()


def _given(context: Context, next_boot: NextBoot, name: str) -> Given:
    node, composed = context.world.get(Node, name), next_boot.composed
    assert isinstance(next_boot.decision, Run) and composed is not None
    run = of_node(next_boot.decision, node)
    mac = node.interfaces[0].mac
    seen, cluster = template_context(context.world, context.site, run, mac, context.cluster)
    laid = Laid("0" * 64, composed.shared(seen, cluster).sha256, composed.own_sources(seen))
    return Given("0" * 16, run.image, "ram", {**next_boot.parts, **parts(node_lines(node))}, laid)


def _version(blobs: Blobs) -> dict[str, object]:
    """The manifest of a version whose blobs are a few bytes each: nobody boots here."""
    digest = "0123456789ab" * 5 + "0123"
    found = {
        part: blobs.put_bytes(part.encode()).model_dump() for part in ("kernel", "modules", "root", "packages", "extra")
    }
    return {
        **found,
        "name": f"debian12@{digest[:12]}",
        "image": "debian12",
        "digest": digest,
        "distribution": "debian 12",
        "architecture": "x86_64",
        "kernel_release": "6.1.0",
        "verity": {"data_blocks": 1, "hash_start_block": 1, "root_hash": "a" * 64, "salt": "-", "data_size": 4096},
        "features": {"init": "systemd", "network": "networkd", "time": "timesyncd"},
    }


def _documents(nodes: int) -> list[dict[str, object]]:
    profile: dict[str, object] = {"kind": "profile", "name": "compute", "image": "debian12"}
    return [profile, *(_node(number) for number in range(1, nodes + 1))]


def _node(number: int) -> dict[str, object]:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/8"
    return {
        "kind": "node",
        "name": f"n{number:05}",
        "interfaces": [{"name": "eth0", "mac": _mac(number), "address": address}],
        "profiles": ["compute"],
        "labels": {"rack": f"r{number // 64}"},
    }


def _mac(number: int) -> str:
    return f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def _answering(paths: Paths) -> Client:
    client = Client(paths.socket, timeout=120)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get(urls.API_VERSION_INFO)
        except ClientError as error:
            if time.monotonic() > deadline:
                log = (paths.prefix / "app.log").read_text(errors="replace")
                raise TimeoutError(f"the app does not answer:\n{log}") from error
            time.sleep(0.05)
        else:
            return client


def _after_changes(paths: Paths, runs: int) -> list[float]:
    """A status each time after the profile of all nodes got another kernel argument: nothing found before counts."""
    times = []
    for run in range(runs):
        profile = {"kind": "profile", "name": "compute", "image": "debian12", "kernel_arguments": [f"run={run}"]}
        Client(paths.socket).post(urls.API_APPLY, {"documents": [profile]})
        times += _times(paths.prefix, ("status",), {}, 1, warm=False)
    return times


def _typed(line: str) -> dict[str, str]:
    """What bash says of a line whose last word is being completed (`muster completion bash`)."""
    words = line.split(" ")
    return {"_MUSTER_COMPLETE": "bash_complete", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}


def _times(
    prefix: Path, words: Sequence[str], environment: dict[str, str], runs: int, warm: bool = True
) -> list[float]:
    times = []
    env = {"MUSTER_PREFIX": str(prefix), **environment}
    muster = Path(sys.executable).with_name("muster")
    if warm:  # what the kernel caches
        process.run([muster, *words], env=env, timeout=60, check=False)
    for _ in range(runs):
        start = time.perf_counter()
        process.run([muster, *words], env=env, timeout=60, check=False)
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
