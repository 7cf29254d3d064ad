"""A blob is fetched whole or not at all, and each way of failing has its own words."""

import hashlib
import socket
import time

import pytest
from tests.node.conftest import Shell
from tests.node.webserver import Answer, Request, Server, blob, cut, silence, text

DATA = bytes(range(256)) * 4096
SUM = hashlib.sha256(DATA).hexdigest()
FETCH = """
file=$run/blob size=$1 sum=$2; shift 2
if ! blob_fetch "$file" "$size" "$@"; then echo "no server gave it"
elif ! blob_verify "$file" "$sum"; then echo "$blob_error"
else echo whole; fi
"""
WHERE = "muster: {url}/a: "


def fetch(shell: Shell, server: Server, *answers: Answer, sum: str = SUM) -> list[str]:
    server.answers["/a"] = list(answers)
    lines = told(shell(FETCH, str(len(DATA)), sum, f"{server.url}/a"))
    return [line.removeprefix(WHERE.format(url=server.url)) for line in lines]


def told(lines: list[str]) -> list[str]:
    """What was said beside the percentages."""
    return [line for line in lines if not line.startswith("muster: download: ")]


def ranges(server: Server) -> list[str | None]:
    return [request.headers.get("Range") for request in server.seen]


def test_a_good_blob(shell: Shell, server: Server) -> None:
    assert fetch(shell, server, blob(DATA)) == ["whole"]
    assert (shell.run / "blob").read_bytes() == DATA


def test_a_404(shell: Shell, server: Server) -> None:
    assert fetch(shell, server, text("gone\n", 404)) == ["the server answered 404 Not Found", "no server gave it"]


def test_a_web_page_by_its_type(shell: Shell, server: Server) -> None:
    page = b"<html>please log in</html>"
    assert fetch(shell, server, lambda r: r.reply(200, page, kind="text/html; charset=utf-8")) == [
        "answered with a web page (text/html), not with the blob: is a proxy or portal in between?",
        "no server gave it",
    ]


def test_a_web_page_by_its_first_byte(shell: Shell, server: Server) -> None:
    def page(request: Request) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n<!doctype html>")

    assert fetch(shell, server, page) == [
        "answered with a web page, not with the blob: is a proxy or portal in between?",
        "no server gave it",
    ]


def test_truncated_on_the_server(shell: Shell, server: Server) -> None:
    assert fetch(shell, server, blob(DATA[:-1])) == [
        f"truncated on the server: it has {len(DATA) - 1} of {len(DATA)} bytes",
        "no server gave it",
    ]


def test_too_long_on_the_server(shell: Shell, server: Server) -> None:
    assert fetch(shell, server, blob(DATA + b"x")) == [
        f"too long on the server: it has {len(DATA) + 1} bytes, {len(DATA)} were promised",
        "no server gave it",
    ]


def test_a_flipped_bit(shell: Shell, server: Server) -> None:
    flipped = bytes([DATA[0] ^ 1]) + DATA[1:]
    bad = hashlib.sha256(flipped).hexdigest()
    assert fetch(shell, server, blob(flipped)) == [
        f"the bytes are damaged: their sha256 is {bad}, the plan promised {SUM}"
    ]
    assert (shell.run / "blob").read_bytes() == b""


def test_a_broken_connection_goes_on_where_it_broke(shell: Shell, server: Server) -> None:
    half = len(DATA) // 2
    assert fetch(shell, server, cut(DATA, half), blob(DATA)) == [
        f"the connection broke at {half} of {len(DATA)} bytes",
        "whole",
    ]
    assert ranges(server) == [None, f"bytes={half}-"]
    assert "If-Range" not in server.seen[1].headers


def test_a_server_without_ranges_starts_from_the_beginning(shell: Shell, server: Server) -> None:
    assert fetch(shell, server, cut(DATA, 1000), lambda r: r.reply(200, DATA))[-1] == "whole"


def test_a_web_page_in_the_middle_does_not_stay_in_the_file(shell: Shell, server: Server) -> None:
    answers = [cut(DATA, 1000), lambda r: r.reply(200, b"<html>", kind="text/html")]
    server.answers["/a"] = answers
    server.answers["/b"] = [blob(DATA)]
    lines = shell(FETCH, str(len(DATA)), SUM, f"{server.url}/a", f"{server.url}/b")
    assert lines[-1] == "whole"
    assert ranges(server)[-1] is None


def test_busy_then_well_on_the_next_server(shell: Shell, server: Server) -> None:
    server.answers["/a"] = [text("", 503)]
    server.answers["/b"] = [blob(DATA)]
    lines = shell(FETCH, str(len(DATA)), SUM, f"{server.url}/a", f"{server.url}/b")
    assert told(lines) == [f"muster: {server.url}/a: the server answered 503 Service Unavailable", "whole"]


def test_nobody_listens(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        assert shell(FETCH, "10", SUM, url) == [
            f"muster: {url}: cannot connect: Connection refused",
            "no server gave it",
        ]


def test_a_closed_connection(shell: Shell, server: Server) -> None:
    assert fetch(shell, server, silence) == [
        "the server closed the connection without an answer",
        "no server gave it",
    ]


@pytest.mark.tools
def test_a_silent_server_is_given_up_and_the_rest_taken_elsewhere(shell: Shell, server: Server) -> None:
    def stall(request: Request) -> None:
        request.reply(200, DATA[:5000], length=len(DATA))
        request.wfile.flush()
        request.rfile.read(1)

    server.answers["/a"] = [stall]
    server.answers["/b"] = [blob(DATA)]
    lines = shell("BLOB_SILENCE=1\n" + FETCH, str(len(DATA)), SUM, f"{server.url}/a", f"{server.url}/b")
    assert told(lines)[0] == f"muster: {server.url}/a: no byte for 1 s, at 5000 of {len(DATA)} bytes"
    assert lines[-1] == "whole"


@pytest.mark.tools
def test_percentages_are_reported(shell: Shell, server: Server) -> None:
    def slow(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(DATA)))
        request.end_headers()
        for start in range(0, len(DATA), len(DATA) // 8):
            request.wfile.write(DATA[start : start + len(DATA) // 8])
            time.sleep(0.2)

    server.answers["/a"] = [slow]
    server.answers["/report"] = [text("", 204)]
    script = "BLOB_TICK=0.45 PROGRESS_EVERY=50 url_report=$1 http_token=; shift\n" + FETCH + "report_finish\n"
    assert shell(script, f"{server.url}/report", str(len(DATA)), SUM, f"{server.url}/a")[-1] == "whole"
    percents = [
        int(line.partition("\t")[2])
        for request in server.seen
        for line in request.body.splitlines()
        if line.startswith("percent\t")
    ]
    assert len(percents) >= 2
    assert percents == sorted(percents)


def test_percentages_are_reported_also_behind_a_server_faster_than_the_hash(shell: Shell, server: Server) -> None:
    """All bytes are there at the first look; a copy to the hasher without a bound would tell nothing but 100."""
    server.answers["/a"] = [blob(DATA)]
    server.answers["/report"] = [text("", 204)]
    script = "BLOB_TICK=1 PROGRESS_EVERY=0 BLOB_PIECES=4 url_report=$1 http_token=; shift\n" + FETCH + "report_finish\n"
    assert shell(script, f"{server.url}/report", str(len(DATA)), SUM, f"{server.url}/a")[-1] == "whole"
    reported = [request.body for request in server.seen if "percent\t" in request.body]
    assert len(reported) >= 3 and any("percent\t50" in body for body in reported)


def test_the_death_of_the_hasher_does_not_stop_a_download(shell: Shell, server: Server) -> None:
    server.answers["/a"] = [cut(DATA, 1000), blob(DATA)]
    killing = "pause() { kill -KILL $blob_hash_pid; }\n"
    assert shell(killing + FETCH, str(len(DATA)), SUM, f"{server.url}/a")[-1] == "whole"


def test_what_is_too_long_is_thrown_away_before_the_next_round(shell: Shell, server: Server) -> None:
    (shell.run / "blob").write_bytes(DATA + b"too much")
    assert fetch(shell, server, blob(DATA))[-1] == "whole"
    assert ranges(server) == [None]
