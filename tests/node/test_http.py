"""Small calls: what the node says when the controller does not answer as it should."""

import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.node.conftest import Shell
from tests.node.webserver import Request, Server, silence, text

CALL = 'if http_call POST "$1" 2 "$2"; then printf "%s" "$http_body"; else echo "failed: $http_error"; fi'


def test_a_post_carries_body_and_token_and_brings_the_answer(shell: Shell, server: Server) -> None:
    server.answers["/hello"] = [text("muster-plan\t1\nreason\tgrüße  \n")]
    lines = shell("http_token=secret\n" + CALL, f"{server.url}/hello", "a\tb\nc\t\\d\n")
    assert lines == ["muster-plan\t1", "reason\tgrüße  "]
    request = server.seen[0]
    assert request.body == "a\tb\nc\t\\d\n"
    assert request.headers["Authorization"] == "Bearer secret"


def test_the_token_is_in_no_argument_of_a_process(shell: Shell, server: Server) -> None:
    seen: list[str] = []

    def answer(request: Request) -> None:
        seen.extend(command_lines())
        request.reply(200, b"")

    server.answers["/x"] = [answer]
    (shell.run / "token").write_text("hush-hush\n")
    shell(f"IFS= read -r http_token <{shell.run}/token\n" + CALL, f"{server.url}/x", "")
    assert server.seen[0].headers["Authorization"] == "Bearer hush-hush"
    assert any("nc" in line for line in seen)
    assert not [line for line in seen if "hush-hush" in line]


def command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield file.read_text(errors="replace")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("no such machine\nmore\n", "the controller answered 409 Conflict: no such machine"),
        ("<html>\n", "the controller answered 409 Conflict"),
        ("", "the controller answered 409 Conflict"),
    ],
)
def test_a_refusal_is_told_with_the_controllers_words(shell: Shell, server: Server, body: str, words: str) -> None:
    server.answers["/x"] = [text(body, 409)]
    assert shell(CALL, f"{server.url}/x", "") == [f"failed: {words}"]


def test_a_web_page_is_not_an_answer(shell: Shell, server: Server) -> None:
    server.answers["/x"] = [lambda r: r.reply(200, b"<html>log in</html>", kind="text/html; charset=utf-8")]
    where = server.url.removeprefix("http://")
    assert shell(CALL, f"{server.url}/x", "") == [
        f"failed: {where} answered with a web page, not as a controller: is a proxy or portal in between?"
    ]


def test_an_answer_that_is_cut_short_is_noticed(shell: Shell, server: Server) -> None:
    server.answers["/x"] = [lambda r: r.reply(200, b"muster-plan\t1\nact", length=400)]
    where = server.url.removeprefix("http://")
    assert shell(CALL, f"{server.url}/x", "") == [f"failed: the answer of {where} is cut short: 17 of 400 bytes"]


def test_nobody_listens(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert shell(CALL, f"http://{where}/x", "") == [f"failed: cannot connect to {where}: Connection refused"]


@pytest.mark.tools
def test_a_silent_server_is_given_up(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        assert shell(CALL, f"http://{where}/x", "") == [f"failed: no answer from {where} in 2 s"]


def test_a_closed_connection_is_told(shell: Shell, server: Server) -> None:
    server.answers["/x"] = [silence]
    where = server.url.removeprefix("http://")
    assert shell(CALL, f"{server.url}/x", "") == [f"failed: {where} closed the connection without an answer"]


@pytest.mark.parametrize("url", ["https://10.0.0.1/x", "", "file:///etc/passwd"])
def test_other_addresses_are_refused(shell: Shell, url: str) -> None:
    assert shell(CALL, url, "") == [f"failed: not an http:// address: {url}"]


def test_an_address_without_port_is_port_80(shell: Shell) -> None:
    script = 'for url; do http_address "$url"; echo "$http_host $http_port $http_path"; done'
    assert shell(script, "http://head/a/b?c", "http://head", "http://[fd00::1]:98/x", "http://[fd00::1]/") == [
        "head 80 /a/b?c",
        "head 80 /",
        "fd00::1 98 /x",
        "fd00::1 80 /",
    ]


def test_a_failed_call_leaves_nothing_for_the_next(shell: Shell, server: Server) -> None:
    server.answers["/x"] = [text("ok\n")]
    script = "http_call POST http://127.0.0.1:1/ 2 stale || :\n" + CALL
    assert shell(script, f"{server.url}/x", "fresh") == ["ok"]
    assert [r.body for r in server.seen] == ["fresh"]


def test_the_pipes_are_for_root_only(shell: Shell) -> None:
    shell(":")
    assert {stat.S_IMODE(p.stat().st_mode) for p in shell.run.iterdir()} == {0o600}


def test_reports_arrive_in_order_and_a_dead_controller_stops_nothing(shell: Shell, server: Server) -> None:
    server.answers["/report"] = [text("", 204)]
    lines = shell(
        'url_report=$1 http_token=t\nreport download start\nreport download progress 40\nreport root "done"\n'
        "report overlay failed '' 'no good'\nreport_finish\n"
        "url_report=http://127.0.0.1:1/\nreport root start\nreport_finish\necho on",
        f"{server.url}/report",
    )
    assert lines == ["on"]
    bodies = [[line for line in r.body.splitlines() if not line.startswith("uptime\t")] for r in server.seen]
    assert bodies == [
        ["stage\tdownload", "status\tstart"],
        ["stage\tdownload", "status\tprogress", "percent\t40"],
        ["stage\troot", "status\tdone"],
        ["stage\toverlay", "status\tfailed", "message\tno good"],
    ]


def test_no_report_is_lost_while_other_programs_run(shell: Shell, server: Server) -> None:
    server.answers["/report"] = [text("", 204)]
    lines = shell(
        "url_report=$1 http_token=t n=0\nreport download start\nsleep 3 &\nother=$!\n"
        "while [ $n -lt 20 ]; do n=$((n + 1)); report download progress $n; done\nreport_finish\nkill $other\necho $n",
        f"{server.url}/report",
    )
    assert lines == ["20"]
    assert len(server.seen) == 21


def test_an_answer_that_cannot_be_stored_is_told(shell: Shell, server: Server) -> None:
    server.answers["/a"] = [text("bytes\n")]
    script = 'http_token=; http_call GET "$1" 5 "" /dev/full || echo "$http_error"'
    assert shell(script, f"{server.url}/a") == [
        f"the answer of 127.0.0.1:{server.server_port} does not end or cannot be stored in /dev/full"
    ]
