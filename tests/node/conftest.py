"""A web server that can misbehave in every way a boot network does, and the node's own shell."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from muster.host import process

NODE = Path(__file__).parents[2] / "src/muster/node"

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; the answers of a test reply through it."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length).decode()
        self.server.seen.append(self)
        self.close_connection = True
        path = self.path.partition("?")[0]
        answers = self.server.answers.get(path, [missing])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def reply(self, status: int, body: bytes, *, kind: str = "text/plain", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence: the tests look at `seen`."""


class Server(ThreadingHTTPServer):
    """`answers` maps a path to its answers in turn; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def missing(request: Request) -> None:
    request.reply(404, b"nothing here\n")


def silence(request: Request) -> None:
    """The connection ends without an answer."""
    request.wfile.close()


def text(body: str, status: int = 200) -> Answer:
    return lambda request: request.reply(status, body.encode())


def blob(data: bytes) -> Answer:
    """As nginx answers: whole, or the rest from where a Range asks."""

    def answer(request: Request) -> None:
        wanted = request.headers.get("Range", "")
        if not wanted:
            return request.reply(200, data, kind="application/octet-stream")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start:])
        return None

    return answer


def cut(data: bytes, after: int) -> Answer:
    """A connection that breaks after so many bytes."""
    return lambda request: request.reply(200, data[:after], length=len(data))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


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
            ["busybox", "sh", "-c", head + script, "sh", *arguments],
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            timeout=timeout,
        )
        assert not done.stderr, done.stderr.decode()
        return done.text.splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    run = tmp_path / "run"
    run.mkdir()
    return Shell(run)
