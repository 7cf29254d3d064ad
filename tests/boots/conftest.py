"""Real boots: a lab of virtual machines, driven as an administrator would, by the command line."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from muster.host import process
from muster.host.paths import Paths
from muster.model.errors import CommandError

IMAGE = "debian12-tiny"
READY_SECONDS = 240.0
"""An upper bound under software emulation with two machines on two cores; usual is a fifth of it."""


@dataclass(frozen=True)
class RunningLab:
    """One lab and its controller."""

    name: str
    key: Path

    @property
    def folder(self) -> Path:
        return Path("/var/lib/muster-lab") / self.name

    @property
    def paths(self) -> Paths:
        return Paths(self.folder / "controller")

    @property
    def tree(self) -> Path:
        """Where the test image is made."""
        return self.paths.images / IMAGE / "tree"

    def muster(self, *words: str, check: bool = True) -> str:
        """The output of one command; its standard error is in the failure's message."""
        return self._run(words, check=check).text

    def refused(self, *words: str) -> tuple[int, str]:
        """Exit status and standard error of a command that is expected to fail."""
        done = self._run(words, check=False)
        assert done.status != 0, done.text
        return done.status, done.stderr.decode()

    def lab(self, *words: str) -> str:
        """`muster lab VERB --name NAME ...`."""
        verb, *rest = words
        return self.muster("lab", verb, "--name", self.name, *rest)

    def rows(self, *words: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.muster(*words, "-o", "json"))
        return rows

    def node(self, name: str) -> dict[str, Any]:
        return self.rows("node", "list", name)[0]

    def trace(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.muster("node", "trace", name, "-o", "json"))
        return found

    def console(self, name: str) -> str:
        text = (self.folder / "nodes" / name / "console.log").read_text(errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Wait for something that a user can see; failing shows the consoles' last lines."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except CommandError as error:
                if "no controller answers" not in error.message:  # it is being started again
                    raise
            time.sleep(0.2)
        tails = [f"--- {path.parent.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self._consoles()]
        log = (self.folder / "controller.log").read_text(errors="replace")[-3000:]
        repeat = "make test, or: sudo .venv/bin/python -m pytest -m boot tests/boots"
        pytest.fail(f"not within {seconds:g} s: {what}\n{repeat}\n--- controller\n{log}\n" + "\n".join(tails))

    def until_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        self.until(lambda: all(self.node(n)["state"] == "ready" for n in names), f"{', '.join(names)} ready", seconds)

    def until_console(self, name: str, text: str, seconds: float = READY_SECONDS) -> None:
        self.until(lambda: text in self.console(name), f"{text!r} on the console of {name}", seconds)

    def ssh(self, address: str, command: str) -> str:
        """Run a command on a node, from inside the lab's network."""
        options = ["-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"]
        return self.lab("run", "--", "ssh", *options, f"root@{address}", command)

    def _consoles(self) -> list[Path]:
        return sorted((self.folder / "nodes").glob("*/console.log"))

    def _run(self, words: tuple[str, ...], *, check: bool) -> process.Finished:
        env = {
            "MUSTER_PREFIX": str(self.paths.prefix),
            "MUSTER_CACHE": os.environ.get("MUSTER_CACHE", "/var/cache/muster"),
        }
        return process.run([sys.executable, "-m", "muster.cli.main", *words], env=env, check=check, timeout=600)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab, switched off, with the test image published; `LAB_OPTIONS` of the module says which machines, and its
    `prepare_tree`, if there is one, changes the image's tree before it is packed."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    options: list[str] = getattr(request.module, "LAB_OPTIONS", [])
    key = tmp_path_factory.mktemp("key") / "id_ed25519"
    process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    running = RunningLab(f"test{os.getpid() % 10000}", key)
    running.lab("up", "--no-power", *options)
    try:
        running.muster("image", "build", IMAGE)
        if prepare_tree := getattr(request.module, "prepare_tree", None):
            prepare_tree(running.tree)
        running.muster("image", "pack", IMAGE)
        words = [f"image={IMAGE}", f"authorized_keys=@{key}.pub", "domain=lab.test"]
        running.muster("profile", "add", "default", *words)
        yield running
    finally:
        running.lab("down")
    assert not running.folder.exists()
