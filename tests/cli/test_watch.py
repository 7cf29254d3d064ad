"""Watching boots: a picture that is drawn in place on a terminal, a line for each event elsewhere."""

import os
import pty
import re
import select
import sys
import threading
import time
from pathlib import Path

import pytest

from muster.cli import watch
from muster.controller import node_plan
from muster.controller.context import Context
from muster.host import process
from muster.store.timelines import Report
from tests.cli.conftest import Muster
from tests.cluster import hello


def boots(context: Context, pause: float) -> None:
    """n1 downloads, fails once, becomes ready, each after a `pause` in seconds."""
    boot = context.boots.of_node("n1")
    assert boot is not None
    now = context.clock.now()
    for uptime, stage, status, message, percent in (
        (3.0, "download", "progress", "", 42),
        (4.0, "download", "failed", "no answer [Errno 2]", None),
        (9.0, "ready", "done", "", None),
    ):
        time.sleep(pause)
        context.boots.report(boot, Report(now, uptime, stage, status, message), percent)


@pytest.mark.tools
def test_lines_elsewhere(muster: Muster, serving: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.02)
    node_plan.hello(serving, hello("n1"), "http://10.77.0.1:9898")
    thread = threading.Thread(target=boots, args=(serving, 0.3))
    thread.start()
    said = muster("watch", "n1", "--until-ready", "--timeout", "20")
    thread.join()
    lines = [re.sub(r"^ *[0-9.]+ s  ", "", line) for line in said.out.splitlines()]
    assert said.status == 0 and "\x1b" not in said.out
    assert lines == [
        "n1  booting hello",
        "n1  booting download 42 %",
        "n1  failed download: no answer [Errno 2]",
        "n1  ready ready",
    ]


def test_not_in_time_names_who_is_late(muster: Muster, serving: Context) -> None:
    assert serving.world.revision
    said = muster("watch", "n2", "--until-ready", "--timeout", "0")
    assert said.status == 1 and "n2: never" in said.err


@pytest.mark.tools
def test_a_picture_on_a_terminal(serving: Context, tmp_path: Path) -> None:
    node_plan.hello(serving, hello("n1"), "http://10.77.0.1:9898")
    ours, theirs = pty.openpty()
    env = {"MUSTER_PREFIX": str(tmp_path), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    argv = [sys.executable, "-m", "muster.cli.main", "watch", "n1", "--until-ready", "--timeout", "30"]
    command = process.start(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    thread = threading.Thread(target=boots, args=(serving, 0.8))
    thread.start()
    said = b""
    while select.select([ours], [], [], 20)[0]:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
    thread.join()
    os.close(ours)
    assert command.wait() == 0
    text = said.decode()
    assert "\x1b[" in text and all(word in text for word in ("42 %", "failed", "no answer [Errno 2]", "ready"))
