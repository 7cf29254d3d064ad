"""A web server that can misbehave in every way a boot network does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
        # whoever asked may be gone
        with suppress(BrokenPipeError, ConnectionResetError):
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


@contextmanager
def serving() -> Iterator[Server]:
    """A server on loopback, until the end of the block."""
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
