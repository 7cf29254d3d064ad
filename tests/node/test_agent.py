"""The agent: starting until the image's init is done, ready, a new hello when its token is refused, a last word."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.node.conftest import NODE
from tests.node.webserver import Request, Server, text

from muster.host import process

WAIT = 10


@contextmanager
def agent(run: Path, init: str, programs: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The real script, with its folder moved from /run/muster and without its waiting times."""
    for part in ("console.sh", "http.sh", "plan.sh"):
        (run / part).write_text((NODE / part).read_text())
    script = (NODE / "agent").read_text().replace("run=/run/muster", f"run={run}")
    script = script.replace("/run/systemd/private", f"{run}/private").replace("PATH=", f"PATH={programs}:")
    script = script.replace("main() {", "draw() { seconds=0.1; }\n\nmain() {")
    (run / "agent").write_text(script)
    started = process.start(["busybox", "sh", run / "agent", init], own_session=True)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@pytest.fixture
def run(tmp_path: Path, server: Server) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "server").write_text(f"{server.url}\n")
    (folder / "token").write_text("first\n")
    (folder / "hello").write_text("muster-hello\t1\nkernel-boot\tk\n")
    (folder / "plan").write_text(f"muster-plan\t1\nurl.heartbeat\t{server.url}/beat\n")
    for name in ("request", "answer"):
        os.mkfifo(folder / name, 0o600)
    return folder


def said(server: Server, path: str = "/beat") -> list[dict[str, str]]:
    found = [r for r in list(server.seen) if r.path.startswith(path)]
    return [dict(line.split("\t", 1) for line in r.body.splitlines()) for r in found]


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def held(request: Request) -> None:
    if "wait=0" not in request.path:
        time.sleep(0.5)
    request.reply(200, b"sequence\t1\n")


def test_another_init_is_ready_at_once_and_says_goodbye(run: Path, server: Server, tmp_path: Path) -> None:
    server.answers["/beat"] = [held]
    with agent(run, "/sbin/runit-init", tmp_path) as running:
        until(lambda: said(server))
        first = said(server)[0]
        assert first["state"] == "ready"
        assert first["message"] == "init: runit-init"
        assert int(first["memory-available"]) > 0
        assert float(first["uptime"]) > 0
        running.send_signal(signal.SIGTERM)
        until(lambda: said(server)[-1]["state"] == "stopping")
        assert running.wait(WAIT) == 0


def systemctl(folder: Path, script: str) -> Path:
    programs = folder / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "systemctl").chmod(0o755)
    return programs


@pytest.mark.root
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("sleep 0.3; echo running", "systemd: running"),
        (
            '[ $1 = list-units ] || { echo degraded; exit 1; }; printf "a.service loaded failed\\nb.mount loaded\\n"',
            "systemd: degraded: a.service b.mount",
        ),
    ],
)
def test_systemd_is_starting_until_it_has_started(
    run: Path, server: Server, tmp_path: Path, script: str, message: str
) -> None:
    server.answers["/beat"] = [held]
    with agent(run, "/lib/systemd/systemd", systemctl(tmp_path, script)):
        until(lambda: said(server))
        assert said(server)[0]["state"] == "starting"
        listen(run / "private")
        until(lambda: said(server)[-1]["state"] == "ready")
    assert said(server)[-1]["message"] == message


def listen(path: Path) -> None:
    """systemd's own socket, as far as `test -S` looks."""
    os.mknod(path, 0o140600)


def test_a_refused_token_means_hello(run: Path, server: Server, tmp_path: Path) -> None:
    plan = f"muster-plan\t1\ntoken\tsecond\nurl.heartbeat\t{server.url}/beat\n"
    server.answers["/beat"] = [text("expired\n", 403), held]
    server.answers["/node/1/hello"] = [text(plan)]
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: len(said(server)) > 1)
    assert said(server, "/node/1/hello")[0]["kernel-boot"] == "k"
    beats = [r.headers["Authorization"] for r in server.seen if r.path.startswith("/beat")]
    assert beats[:2] == ["Bearer first", "Bearer second"]
    assert [r.headers["Authorization"] for r in server.seen if r.path == "/node/1/hello"] == [None]
    assert (run / "token").read_text() == "second\n"


def test_a_renewed_token_is_kept(run: Path, server: Server, tmp_path: Path) -> None:
    server.answers["/beat"] = [text("token\trenewed\nsequence\t4\n"), held]
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: len(said(server)) > 1)
    assert server.seen[1].headers["Authorization"] == "Bearer renewed"


def test_the_log_is_bounded_and_says_the_same_thing_once(run: Path, server: Server, tmp_path: Path) -> None:
    server.answers["/beat"] = [text("", 503)]
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: len(said(server)) > 4)
    lines = (run / "agent.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["the controller answered 503 Service Unavailable"]
