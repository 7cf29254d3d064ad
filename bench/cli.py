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
from pathlib import Path

from muster import settings
from muster.client import Client, ClientError
from muster.host import process
from muster.host.paths import Paths
from muster.model import urls
from muster.services.child import KEY
from muster.store.timelines import BootRecord, Report, Timelines

LIMIT = 0.2
START_SECONDS = 60.0
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
    lines = [f"| command, {nodes} nodes | median ms | slowest ms |", "|---|---|---|"]
    lines += [f"| {name} | {statistics.median(t) * 1000:.0f} | {max(t) * 1000:.0f} |" for name, t in rows]
    return "\n".join(lines)


@contextmanager
def serving(nodes: int) -> Iterator[Path]:
    """A prefix whose app runs and knows `nodes` nodes, nearly all of them ready."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        _installed(paths)
        _booted(paths, nodes)
        environment = {KEY: secrets.token_urlsafe(32)}
        with (paths.prefix / "app.log").open("wb") as log:
            argv = [sys.executable, "-m", "muster.daemon", "--prefix", folder]
            app = process.start(argv, stdout=log, stderr=log, env=environment)
            try:
                client = _answering(paths)
                client.post(urls.API_APPLY, {"documents": _documents(nodes)})
                yield paths.prefix
            finally:
                app.terminate()
                app.wait()


def _installed(paths: Paths) -> None:
    for path in (paths.etc, paths.run, paths.blobs, paths.secrets, paths.tftp, paths.dnsmasq):
        path.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    settings.write_default(paths.config, settings.Settings((f"127.0.0.1:{port % 60000 + 1024}",), port))
    (paths.secrets / "token-key").write_bytes(secrets.token_bytes(32))


def _booted(paths: Paths, nodes: int) -> None:
    """All but one of a hundred have a boot on record that made them ready."""
    timelines = Timelines(paths.boots)
    now = time.time()
    for number in range(1, nodes + 1):
        if number % 100:
            boot = f"{number:016x}"
            facts = {"macs": [_mac(number)], "kernel": "6.1.0", "architecture": "x86_64"}
            timelines.add_boot(BootRecord(boot, f"{number:064x}", f"n{number:05}", boot, now, facts))
            timelines.add_report(boot, Report(now, 20.0, "ready", "done"))
    timelines.close()


def _documents(nodes: int) -> list[dict[str, object]]:
    profile: dict[str, object] = {"kind": "profile", "name": "compute", "kernel_arguments": ["quiet"]}
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


def _typed(line: str) -> dict[str, str]:
    """What bash says of a line whose last word is being completed (`muster completion bash`)."""
    words = line.split(" ")
    return {"_MUSTER_COMPLETE": "bash_complete", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}


def _times(prefix: Path, words: Sequence[str], environment: dict[str, str], runs: int) -> list[float]:
    times = []
    env = {"MUSTER_PREFIX": str(prefix), **environment}
    muster = Path(sys.executable).with_name("muster")
    process.run([muster, *words], env=env, timeout=60, check=False)  # the first one warms what the kernel caches
    for _ in range(runs):
        start = time.perf_counter()
        process.run([muster, *words], env=env, timeout=60, check=False)
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
