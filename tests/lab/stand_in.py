"""A controller's stand-in, started as a program: takes documents on its socket and writes them beside it.

python stand_in.py SOCKET
"""

import http.server
import socketserver
import sys
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Path(f"{sys.argv[1]}.posted").write_bytes(body)
        self._answer(b'{"lines": []}')

    def do_GET(self) -> None:
        self._answer(b'[{"name": "n1", "state": "ready"}]')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"


if __name__ == "__main__":
    Path(sys.argv[1]).unlink(missing_ok=True)
    socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
