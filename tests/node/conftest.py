"""The node's own shell, and a web server that can misbehave."""

import os
import shutil
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


@dataclass
class Rooted:
    """The scripts that change the new root, run as root in a mount namespace of their own, which ends with them.

    `root` is the new root; /run is a tmpfs that both sides of a chroot see, as after the switch of a boot.
    """

    root: Path
    before: str = ""

    def __call__(self, script: str, *, timeout: float = 20) -> list[str]:
        parts = ("console", "plan", "report", "lay", "early", "overlay", "place", "disk", "live")
        sources = "".join(f". {NODE}/{part}.sh\n" for part in parts)
        head = f"""set -u
mount -t tmpfs run /run && mkdir -p /run/muster/bin {self.root}/run && mount -o bind /run {self.root}/run
run=/run/muster lib={NODE} newroot={self.root} net_mac=52:54:00:ab:cd:ef plan_text= url_report=
cp {shutil.which("busybox")} /run/muster/bin/busybox && mkfifo /run/muster/nap
{sources}
warn() {{ echo "warning: $1"; }}
mode_is() {{ stat -c "%a %u:%g" "$1"; }}
{self.before}"""
        command = [
            "timeout",
            "-k",
            "1",
            str(timeout),
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "busybox",
            "sh",
            "-c",
            head + script,
        ]
        done = process.run(command, env={"LC_ALL": "C", "PATH": os.environ["PATH"]})
        assert not done.stderr, done.stderr.decode()
        return done.text.splitlines()


@pytest.fixture
def rooted(tmp_path: Path) -> Rooted:
    root = tmp_path / "newroot"
    root.mkdir()
    return Rooted(root)
