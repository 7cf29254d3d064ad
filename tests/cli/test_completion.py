"""Completion as shells ask for it: click's protocol over the real command, and bash itself with a terminal."""

import os
import pty
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.controller.complete import MOST
from muster.controller.context import Context
from muster.controller.objects import apply, delete
from muster.host import process
from tests.cli.conftest import Muster
from tests.cluster import node

BIN = Path(sys.executable).parent
Completed = Callable[[str], list[str]]


@pytest.fixture
def completed(tmp_path: Path) -> Completed:
    """The words that a shell is offered for a line that ends at the cursor."""

    def ask(line: str, shell: str = "bash") -> list[str]:
        words = line.split(" ")
        env = {"MUSTER_PREFIX": str(tmp_path), "_MUSTER_COMPLETE": f"{shell}_complete"}
        env |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        said = process.run([sys.executable, "-m", "muster.cli.main"], env=env, check=False)
        assert said.stderr == b"", said.stderr
        return [each.partition(",")[2] for each in said.text.splitlines() if each]

    return ask


def test_verbs_and_options(completed: Completed) -> None:
    assert completed("muster no") == ["node", "noderange"]
    assert "explain" in completed("muster node ")
    assert completed("muster node list --out") == ["--output"]
    assert completed("muster node list -o ") == ["table", "json", "yaml", "name"]
    assert completed("muster completion z") == ["zsh"]


@pytest.mark.tools
def test_names_of_what_there_is(completed: Completed, serving: Context) -> None:
    serving.store.change(lambda w: apply(w, [node("login1", labels={"rack": "r1"})]), who="test")
    assert completed("muster node show n") == ["n1", "n2"]
    assert completed("muster node list n1,lo") == ["n1,login1"]
    assert completed("muster node list @all!@ra") == ["@all!@rack:r1"]
    assert completed("muster node power @state:r") == ["@state:ready"]
    assert completed("muster profile show ") == ["compute"] and completed("muster network delete l") == ["lab"]
    assert completed("muster image tag debian:l") == ["debian:latest"]
    assert completed("muster audit ne") == ["network"] and completed("muster audit network ") == ["lab"]


@pytest.mark.tools
def test_settings_and_their_values(completed: Completed, serving: Context) -> None:
    assert serving.world.revision
    assert completed("muster node set n1 ima") == ["image="]
    assert completed("muster node set n1 image=") == ["image=debian", "image=debian:latest"]
    assert completed("muster node set n1 profiles=a,co") == ["profiles=a,compute"]
    assert completed("muster node set n1 power.") == [
        "power.address=",
        "power.driver=",
        "power.password.secret=",
        "power.user=",
    ]
    assert completed("muster node set n1 serial_console.login=p") == ["serial_console.login=password"]
    assert completed("muster node set n1 disk.m") == ["disk.make.disk=", "disk.make.swap_size="]
    assert completed("muster node set n1 var.on=") == ["var.on=disk", "var.on=root", "var.on=tmpfs"]
    assert "interfaces.eth0.mac=" in completed("muster node set n1 interfaces.e")
    assert completed("muster network set lab mode=o") == ["mode=off", "mode=own"]


def test_of_very_many_names_beginnings(completed: Completed, serving: Context) -> None:
    serving.store.change(lambda w: delete(w, "node", "n1,n2"), who="test")
    serving.store.change(lambda w: apply(w, [node(f"c{number:04}") for number in range(3000)]), who="test")
    assert completed("muster node show ") == [f"c{tens:02}" for tens in range(30)]
    assert completed("muster node show c012") == [f"c{number:04}" for number in range(120, 130)]
    assert len(completed("muster node list c")) <= MOST + 1


def test_nothing_and_at_once_without_a_controller(completed: Completed) -> None:
    start = time.monotonic()
    assert completed("muster node show ") == [] and completed("muster node set n1 ima") == []
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered(tmp_path: Path, serving: Context, shell: str) -> None:
    assert serving.world.revision
    env = {"MUSTER_PREFIX": str(tmp_path), "_MUSTER_COMPLETE": f"{shell}_complete"}
    env |= {"COMP_WORDS": "muster node show n", "COMP_CWORD": "3" if shell == "zsh" else "n"}
    said = process.run([sys.executable, "-m", "muster.cli.main"], env=env, check=False)
    assert "n1" in said.text and "n2" in said.text


def test_completing_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("pydantic", "fastapi", "starlette", "uvicorn", "yaml", "jinja2", "ClusterShell", "rich", "sqlite3")
    program = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print(*[n for n in {heavy!r} if n in sys.modules], file=sys.stderr))\n"
        "from muster.cli.main import main\nmain()"
    )
    for line in ("muster node show ", "muster audit node ", "muster image show ", "muster watch "):
        env = {"MUSTER_PREFIX": str(tmp_path), "_MUSTER_COMPLETE": "bash_complete"}
        env |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        assert process.run([sys.executable, "-c", program], env=env, check=False).stderr.split() == []


def test_the_scripts(muster: Muster) -> None:
    for shell in ("bash", "zsh", "fish"):
        said = muster("completion", shell)
        assert said.status == 0 and f"_MUSTER_COMPLETE={shell}_complete" in said.out
    assert muster("completion", "csh").status == 2


BECOMES = {
    "muster node expl": "muster node explain ",
    "muster node set n1 ima": "muster node set n1 image=",
    "muster node set n1 image=deb": "muster node set n1 image=debian",
    "muster node set n1 image=debian:": "muster node set n1 image=debian:latest ",
    "muster node list @sta": "muster node list @state:",
    "muster node list @state:re": "muster node list @state:ready ",
    "muster node list n1,lo": "muster node list n1,login1 ",
}


@pytest.mark.tools
def test_bash_completes(tmp_path: Path, serving: Context) -> None:
    """An interactive bash on a terminal, TAB pressed: what stands on its line then."""
    serving.store.change(lambda w: apply(w, [node("login1")]), who="test")
    assert _after_tab(tmp_path, list(BECOMES)) == BECOMES


def _after_tab(prefix: Path, lines: list[str]) -> dict[str, str]:
    ours, theirs = pty.openpty()
    env = {"MUSTER_PREFIX": str(prefix), "PATH": f"{BIN}:{os.environ['PATH']}", "PS1": "> ", "TERM": "dumb"}
    env |= {"INPUTRC": "/dev/null", "COLUMNS": "200"}
    shell = process.start(
        ["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=env, own_session=True
    )
    os.close(theirs)
    try:
        _heard(ours, "> ")
        os.write(ours, b"bind 'set enable-bracketed-paste off'; source <(muster completion bash); echo so''urced\n")
        _heard(ours, "sourced\r\n> ")
        found = {}
        for line in lines:
            # behind the TAB control-A and a command before it, which make the line print itself
            os.write(ours, f"{line}\t\x01echo ''=\"\x05\"=\n".encode())
            said = _heard(ours, "=\r\n> ", after="\r\n=")
            found[line] = said.rpartition("\r\n=")[2].partition("=\r\n> ")[0]
        return found
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def _heard(terminal: int, wanted: str, after: str = "", patience: float = 10.0) -> str:
    """What came until `wanted` came, behind `after`."""
    said, end = "", time.monotonic() + patience
    while wanted not in (said.partition(after)[2] if after else said):
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], f"only heard: {said!r}"
        said += os.read(terminal, 65536).decode()
    return said
