"""The node's own shell, and a web server that can misbehave."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.node.webserver import Server, serving

from muster.host import process

NODE = Path(__file__).parents[2] / "src/muster/node"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@dataclass
class Shell:
    """The node's scripts in busybox ash, as an ordinary user, in a folder of its own."""

    run: Path
    parts: list[str] = field(default_factory=lambda: ["console", "arguments", "http", "plan", "report", "blob"])

    def __call__(self, script: str, *arguments: str, timeout: float = 20) -> list[str]:
        """The lines that a script prints once the parts are sourced. Waiting times are none."""
        sources = "".join(f". {NODE}/{part}.sh\n" for part in self.parts)
        head = f"set -u\nrun={self.run} lib={NODE} bootif= static=\n{sources}http_prepare\ndraw() {{ seconds=0.01; }}\n"
        done = process.run(
            # timeout(1) ends the script's own children too
            ["timeout", "-k", "1", str(timeout), "busybox", "sh", "-c", head + script, "sh", *arguments],
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        )
        assert not done.stderr, done.stderr.decode()
        return done.text.splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    run = tmp_path / "run"
    run.mkdir()
    return Shell(run)
