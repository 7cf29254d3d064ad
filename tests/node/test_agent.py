"""The agent: starting until the image's init is done, ready, a new hello when its token is refused, a last word."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.node.conftest import NODE
from tests.node.webserver import Answer, Request, Server, text

from muster.host import process

WAIT = 10


@contextmanager
def agent(
    run: Path, init: str, programs: Path, *, before: list[str] | None = None, **constants: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """The real script, with its folder moved from /run/muster and without its waiting times; with other constants."""
    for part in ("console.sh", "http.sh", "plan.sh", "care.sh"):
        (run / part).write_text((NODE / part).read_text())
    script = (NODE / "agent").read_text().replace("run=/run/muster", f"run={run}")
    script = script.replace("/run/systemd/private", f"{run}/private").replace("PATH=", f"PATH={programs}:")
    script = script.replace("main() {", "draw() { seconds=0.1; }\n\nmain() {")
    for name, value in constants.items():
        script = re.sub(rf"^{name}=\S+", f"{name}={value}", script, flags=re.MULTILINE)
    (run / "agent").write_text(script.replace("nap 5\n", "nap 0.2\n"))
    started = process.start([*(before or []), "busybox", "sh", run / "agent", init], own_session=True)
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
    (folder / "bin").mkdir()
    (folder / "bin/busybox").symlink_to(shutil.which("busybox") or "/bin/busybox")
    return folder


def said(server: Server, path: str = "/beat") -> list[dict[str, str]]:
    return [dict(lines) for lines in bodies(server, path)]


def bodies(server: Server, path: str = "/beat") -> list[list[tuple[str, str]]]:
    """Keys and values of each request, in order."""
    found = [r for r in list(server.seen) if r.path.startswith(path)]
    return [[(line.split("\t", 1)[0], line.split("\t", 1)[1]) for line in r.body.splitlines()] for r in found]


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


Lines = list[tuple[str, str]]


def results(server: Server) -> list[Lines]:
    """What each heartbeat said of an order, of those that did."""
    kept = [[(k, v) for k, v in lines if k in ("order", "status", "line")] for lines in bodies(server)]
    return [lines for lines in kept if lines]


def ordering(*orders: str) -> list[Answer]:
    """Answers with an order each, then none."""
    return [text(f"order\t{order}\n" if order else "") for order in orders] + [held]


def order_program(run: Path, word: str, script: str) -> None:
    (run / word).write_text(script)


def test_an_order_is_done_and_its_result_sent_promptly(run: Path, server: Server, tmp_path: Path) -> None:
    order_program(run, "free", "echo one; echo 'two  words'; exit 3")
    server.answers["/beat"] = ordering("", "a1 free")
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: results(server))
        until(lambda: len(server.seen) > 3)
    assert results(server) == [[("order", "a1"), ("status", "3"), ("line", "one"), ("line", "two  words")]]
    assert [r.path.partition("wait=")[2] for r in server.seen][:4] == ["0", "50", "0", "50"]


def test_an_order_that_is_repeated_is_done_once_and_told_again(run: Path, server: Server, tmp_path: Path) -> None:
    order_program(run, "free", f"echo run >>{tmp_path}/runs")
    order_program(run, "stale", "echo stale")
    server.answers["/beat"] = ordering("a1 free", "a1 free", "a2 stale", "a1 free")
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: len(results(server)) > 3)
    said = [(dict(lines)["order"], dict(lines)["status"], dict(lines).get("line")) for lines in results(server)]
    assert said == [
        ("a1", "0", None),
        ("a1", "0", None),
        ("a2", "0", "stale"),
        ("a1", "1", "done before, and its result is not kept"),
    ]
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_result_that_was_lost_is_sent_again(run: Path, server: Server, tmp_path: Path) -> None:
    order_program(run, "free", f"echo run >>{tmp_path}/runs; echo done")
    server.answers["/beat"] = [*ordering("a1 free")[:1], text("", 503), held]
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: len(results(server)) > 1)
    assert results(server)[0] == results(server)[1] == [("order", "a1"), ("status", "0"), ("line", "done")]
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.parametrize("word", ["reboot", "free now", "../bin/free", "$(touch x)", ""])
def test_no_other_word_is_an_order(run: Path, server: Server, tmp_path: Path, word: str) -> None:
    order_program(run, "free", f"touch {tmp_path}/ran")
    server.answers["/beat"] = ordering(f"a1 {word}")
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: results(server))
    assert results(server) == [[("order", "a1"), ("status", "2"), ("line", f"this node knows no order '{word}'")]]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("order", ["a/1 free", " free", f"{'a' * 65} free"])
def test_an_order_without_a_name_is_none(run: Path, server: Server, tmp_path: Path, order: str) -> None:
    order_program(run, "free", f"touch {tmp_path}/ran")
    server.answers["/beat"] = ordering(order)
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: len(server.seen) > 2)
    assert results(server) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("script", ["seq 1 1000", "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 999"])
def test_a_result_is_bounded(run: Path, server: Server, tmp_path: Path, script: str) -> None:
    order_program(run, "stale", script)
    server.answers["/beat"] = ordering("a1 stale")
    with agent(run, "/sbin/init", tmp_path):
        until(lambda: results(server))
    lines = [value for key, value in results(server)[0] if key == "line"]
    assert 20 < len(lines) <= 200
    assert len(server.seen[1].body) < 48_000
    assert len(server.seen[1].body) == int(server.seen[1].headers["Content-Length"])


def test_an_order_that_does_not_end_is_broken_off(run: Path, server: Server, tmp_path: Path) -> None:
    order_program(run, "free", f"sleep 61 & echo $! >{tmp_path}/child; echo begun; wait")
    server.answers["/beat"] = ordering("a1 free")
    with agent(run, "/sbin/init", tmp_path, AGENT_ORDER="1"):
        until(lambda: results(server))
    assert dict(results(server)[0])["status"] == "143"
    assert [value for key, value in results(server)[0] if key == "line"] == ["begun", "broken off after 1 s"]
    child = (tmp_path / "child").read_text().strip()
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())


@pytest.mark.root
def test_an_agent_that_could_not_start_a_process_goes_on(run: Path, server: Server, tmp_path: Path) -> None:
    """No processes to be had, or no memory for one: the shell ends, and becomes the agent again."""
    run.chmod(0o777)
    for path in run.iterdir():
        path.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    server.answers["/beat"] = [held]
    # an id of its own, because the limit counts all of a user's processes: a lab's controller runs as 64999
    user = ["setpriv", "--reuid=64321", "--clear-groups"]
    with agent(run, "/sbin/init", tmp_path, before=["prlimit", "--nproc=6", *user]) as running:
        until(lambda: len(server.seen) > 1)
        others = [process.start([*user, "sleep", "60"]) for _ in range(6)]
        try:
            time.sleep(1)
            seen = len(server.seen)
            time.sleep(1)
            assert len(server.seen) == seen
            assert running.poll() is None
        finally:
            for other in others:
                other.kill()
                other.wait()
        until(lambda: len(server.seen) > seen)
    assert [beat["state"] for beat in said(server)[-2:]] == ["ready", "ready"]
