"""Stands in for the app on PORT (argument 1). GET /node/1/command/a/b sends the line `a b` to the supervisor."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        words = self.path.split("/")[4:]
        if words == ["deaf"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif words:
            os.write(int(os.environ["MUSTER_SUPERVISOR_FD"]), f"{' '.join(words)}\n".encode())
        body = b"key ok" if self.headers["X-Muster-Key"] == os.environ["MUSTER_KEY"] else b"key wrong"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    print("stand-in up", flush=True)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
