"""The rendered nginx.conf, and a real nginx that runs by it on loopback."""

import hashlib
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from wait import until

from muster.host import process
from muster.model.errors import RequestError
from muster.services import nginx

KEY = "k" * 32
DATA = bytes(range(256)) * 4096
SHA = hashlib.sha256(DATA).hexdigest()


def test_configuration(golden):
    folders = nginx.NginxFolders(
        run=Path("/run/muster/nginx"), blobs=Path("/var/lib/muster/blobs"), tftp=Path("/var/lib/muster/tftp")
    )
    golden("nginx.conf", nginx.render(["10.77.0.1:9898", "[fd00::1]:9898"], 9899, KEY, folders))


@pytest.mark.parametrize(
    ("listen", "key", "folder"),
    [
        ([], KEY, "/run/x"),
        (["10.0.0.1"], KEY, "/run/x"),
        (["10.0.0.1:80; root /"], KEY, "/run/x"),
        (["10.0.0.1:80"], "short", "/run/x"),
        (["10.0.0.1:80"], 'k" always;aaaaaaaaaaaaa', "/run/x"),
        (["10.0.0.1:80"], KEY, "/run/a b"),
        (["10.0.0.1:80"], KEY, "/run/x;y"),
    ],
)
def test_nothing_can_change_the_meaning_of_the_file(listen, key, folder):
    folders = nginx.NginxFolders(run=Path(folder), blobs=Path("/b"), tftp=Path("/t"))
    with pytest.raises(RequestError):
        nginx.render(listen, 9899, key, folders)


class StandInApp(BaseHTTPRequestHandler):
    """Answers with what it was asked, so that a test sees what nginx passed on."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(503 if self.path == "/node/1/own-503" else 200)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def _answer(self, status):
        names = ("X-Muster-Key", "X-Real-IP", "Host", "Connection")
        seen = [self.command, self.path, *(str(self.headers[name]) for name in names), str(self.client_address[1])]
        body = "\n".join(seen).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class StandInServer(ThreadingHTTPServer):
    """Closing it closes its kept-alive connections too, as the end of a process does."""

    daemon_threads = True

    def __init__(self, port):
        self.connections = []
        super().__init__(("127.0.0.1", port), StandInApp)

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def server_close(self):
        super().server_close()
        for each in self.connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass
class Site:
    port: int
    app_port: int
    log: Path

    def ask(self, path, method="GET", body=None, **headers):
        """Status, headers and body of one request, its path sent exactly as given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection._validate_path = lambda _: None
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return answer

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def site(tmp_path_factory, free_ports) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    blobs = folder / "blobs/sha256"
    for each in (blobs, folder / "tftp", folder / "run"):
        each.mkdir(parents=True)
    (blobs / SHA).write_bytes(DATA)
    (blobs / "secret").write_text("not a blob")
    (folder / "secret").write_text("outside")
    (folder / "tftp/snponly.efi").write_bytes(b"loader")
    (folder / "tftp/.hidden").write_bytes(b"hidden")
    port, app_port = free_ports(2)
    folders = nginx.NginxFolders(run=folder / "run", blobs=folder / "blobs", tftp=folder / "tftp")
    text = nginx.render([f"127.0.0.1:{port}"], app_port, KEY, folders, workers=1)
    config = folder / "nginx.conf"
    # Started by root, nginx would hand its workers to another user that cannot read a test folder.
    config.write_text(f"user root;\n{text}" if os.geteuid() == 0 else text)
    process.run(["nginx", "-t", "-e", "stderr", "-p", folder / "run", "-c", config])
    server = process.start(["nginx", "-e", "stderr", "-p", folder / "run", "-c", config])
    try:
        until(lambda: _open(port))
        yield Site(port, app_port, folder / "run/access.log")
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def app(site) -> Iterator[None]:
    server = StandInServer(site.app_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def _open(port):
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def test_a_blob_whole_and_in_ranges(site):
    status, headers, body = site.ask(f"/blobs/sha256/{SHA}")
    assert (status, hashlib.sha256(body).hexdigest()) == (200, SHA)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Accept-Ranges"] == "bytes"
    assert "nginx/" not in headers["Server"]
    status, headers, body = site.ask(f"/blobs/sha256/{SHA}", Range="bytes=1000-1999")
    assert (status, body) == (206, DATA[1000:2000])
    assert headers["Content-Range"] == f"bytes 1000-1999/{len(DATA)}"
    assert site.ask(f"/blobs/sha256/{SHA}", Range=f"bytes={len(DATA) - 5}-")[2] == DATA[-5:]
    assert site.ask(f"/blobs/sha256/{SHA}", Range=f"bytes={len(DATA)}-")[0] == 416
    assert site.ask(f"/blobs/sha256/{SHA}", "HEAD")[1]["Content-Length"] == str(len(DATA))


def test_if_range_means_the_content(site):
    path = f"/blobs/sha256/{SHA}"
    assert site.ask(path)[1]["ETag"] == f'"{SHA}"'
    assert site.ask(path, **{"Range": "bytes=0-9", "If-Range": f'"{SHA}"'})[0] == 206
    assert site.ask(path, **{"Range": "bytes=0-9", "If-Range": '"other"'})[0] == 200


def test_loaders_for_http_boot(site):
    assert site.ask("/boot/files/snponly.efi")[2] == b"loader"
    assert site.ask("/boot/files/.hidden")[0] in (400, 404)
    assert site.ask("/boot/files/absent")[0] == 404


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/1/status",
        "/blobs/",
        "/blobs/sha256/",
        "/blobs/sha256/secret",
        f"/blobs/sha256/{SHA[:-1]}",
        f"/blobs/sha256/{SHA}/",
        f"/blobs/sha256/{SHA.upper()}x",
        f"/blobs/sha256/../sha256/{SHA}",
        f"/blobs/sha256/./{SHA}",
        f"//blobs/sha256/{SHA}",
        f"/blobs//sha256/{SHA}",
        f"/blobs/sha256/%2e%2e/sha256/{SHA}",
        f"/blobs/sha256/..%2fsha256/{SHA}",
        f"/blobs/sha256/{SHA}%00",
        f"/blobs/sha256/{SHA}\\..\\x",
        f"/blobs/sha256/%{ord(SHA[0]):x}{SHA[1:]}",
        "/boot/files/../../secret",
        "/boot/files/%2e%2e/secret",
        "/boot/files//etc/passwd",
        "/boot/files/",
        "/node/../api/1/status",
        "/node/%2e%2e/api",
        "/node//1/hello",
        "/node/1/..%2f..%2fetc",
        "/boot/1/../files/snponly.efi",
        "/boot/2/ipxe",
        "/nodes",
        "/error/away",
        "/error/refused",
    ],
)
def test_nothing_else_is_served(site, path):
    status, headers, body = site.ask(path)
    assert status in (400, 404)
    assert headers["Content-Type"] == "text/plain"
    assert b"<" not in body


@pytest.mark.usefixtures("app")
def test_odd_request_lines(site):
    for line in (b"GET blobs HTTP/1.1", b"GET /node/1/\x00x HTTP/1.1", b"GET", b"\xff\xfe / HTTP/1.1"):
        answer = site.raw(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"<html" not in answer
        assert b" 400 " in answer.split(b"\r\n")[0] or b"bad request" in answer or answer == b""


def test_blobs_cannot_be_written(site):
    for method in ("PUT", "POST", "DELETE"):
        assert site.ask(f"/blobs/sha256/{SHA}", method, body=b"x")[0] in (403, 405)


@pytest.mark.usefixtures("app")
def test_questions_reach_the_app_with_key_and_address(site):
    status, _, body = site.ask("/node/1/hello?serial=a%26b//..", "POST", b"x", **{"X-Muster-Key": "forged"})
    method, path, key, address, host, connection, first_port = body.decode().split("\n")
    assert (status, method, path) == (200, "POST", "/node/1/hello?serial=a%26b//..")
    assert (key, address, host) == (KEY, "127.0.0.1", f"127.0.0.1:{site.port}")
    assert connection == "None"
    assert site.ask("/boot/1/ipxe?mac=1")[2].decode().split("\n")[-1] == first_port, "kept alive"


@pytest.mark.usefixtures("app")
def test_bodies_are_bounded(site):
    assert site.ask("/node/1/hello", "POST", b"x" * (256 * 1024))[0] == 200
    assert site.ask("/node/1/hello", "POST", b"x" * (256 * 1024 + 1))[0] == 413


def test_while_the_app_is_away(site):
    status, headers, body = site.ask("/node/1/hello", "POST", b"x")
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "2", "text/plain")
    assert b"try again" in body


@pytest.mark.usefixtures("app")
def test_the_apps_own_503_is_passed_on(site):
    status, headers, body = site.ask("/node/1/own-503")
    assert (status, b"/node/1/own-503" in body) == (503, True)
    assert "Retry-After" not in headers


def test_one_log_line_per_request(site):
    site.ask(f"/blobs/sha256/{SHA}?logged", Range="bytes=0-99")
    until(lambda: b"?logged" in site.log.read_bytes())
    (line,) = [line for line in site.log.read_text().splitlines() if "?logged" in line]
    start, request, end = line.split('"')
    when, address = start.split()
    status, sent, seconds, app_seconds = end.split()
    assert (address, request, status, app_seconds) == (
        "127.0.0.1",
        f"GET /blobs/sha256/{SHA}?logged HTTP/1.1",
        "206",
        "-",
    )
    assert float(when) > 1e9 and int(sent) > 100 and float(seconds) >= 0
