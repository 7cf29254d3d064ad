"""The whole nginx.conf of the node-facing address, rendered from what it is told; no I/O here.

nginx runs in the foreground without root. It sends the bytes (blobs, loaders) by itself and passes
questions to the app over loopback. Everything else is 404, and every answer of its own is short text.

The access log holds one line per request, in this order (`LOG_FORMAT`):
    unix time with milliseconds at the end of the answer, client address, "request line",
    status, bytes sent with headers, seconds from first byte read to last byte sent,
    seconds the app took (`-` when nginx answered by itself).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.model.errors import RequestError

LOG_FORMAT = '$msec $remote_addr "$request" $status $bytes_sent $request_time $upstream_response_time'
BODY_LIMIT = "256k"
# A held poll takes two connections of its worker. 20,000 of them may meet in one worker.
WORKER_CONNECTIONS = 48_000

_PLAIN = re.compile(r"[A-Za-z0-9._/@:+=-]+")
_LISTEN = re.compile(r"(\d+(\.\d+){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_KEY = re.compile(r"[A-Za-z0-9_-]{16,}")


@dataclass(frozen=True)
class NginxFolders:
    """Where nginx reads and writes. `run` holds its pid file, access log and temporary bodies."""

    run: Path
    blobs: Path
    tftp: Path


def render(listen: Sequence[str], app_port: int, key: str, folders: NginxFolders, *, workers: int = 2) -> str:
    """The configuration for exactly the addresses in `listen` (`ADDR:PORT`).

    `key` is what the app demands in X-Muster-Key, so the text is a secret of this run.
    Raises RequestError for an address, key or folder that would change the meaning of the file.
    """
    for path in (folders.run, folders.blobs, folders.tftp):
        if not _PLAIN.fullmatch(str(path)):
            raise RequestError(
                f"folder name not usable in nginx.conf: {path}", hint="use letters, digits, . _ - / only"
            )
    if not listen or not all(_LISTEN.fullmatch(address) for address in listen):
        raise RequestError(f"listen needs ADDR:PORT, got {', '.join(listen) or 'nothing'}")
    if not _KEY.fullmatch(key):
        raise RequestError("the key for the app must be at least 16 letters, digits, - or _")
    listens = "\n".join(f"        listen {address} backlog=4096 so_keepalive=on;" for address in listen)
    return _main(folders.run, workers) + _server(listens, app_port, key, folders) + "}\n"


def _main(run: Path, workers: int) -> str:
    return f"""\
# Written by muster serve at every start.
daemon off;
pid {run}/nginx.pid;
error_log stderr warn;
worker_processes {workers};
worker_shutdown_timeout 5s;

events {{
    worker_connections {WORKER_CONNECTIONS};
}}

http {{
    log_format muster '{LOG_FORMAT}';
    access_log {run}/access.log muster buffer=32k flush=1s;

    client_body_temp_path {run}/body;
    proxy_temp_path {run}/proxy;
    fastcgi_temp_path {run}/unused;
    uwsgi_temp_path {run}/unused;
    scgi_temp_path {run}/unused;

    server_tokens off;
    sendfile on;
    tcp_nopush on;
    types {{ }}
    default_type application/octet-stream;

    client_max_body_size {BODY_LIMIT};
    client_body_buffer_size {BODY_LIMIT};
    client_header_timeout 30s;
    client_body_timeout 30s;
    send_timeout 60s;
    keepalive_timeout 75s;
    reset_timedout_connection on;
    if_modified_since off;

    # Tricks are judged on the path as it was sent: a query may hold what it likes.
    map $request_uri $odd_path {{
        default 1;
        "~^[^?]*(//|/\\.)" 1;
        "~^/[A-Za-z0-9._/@:=,+~-]*(\\?|$)" 0;
    }}
    map $status $why {{
        default "request refused";
        400 "bad request";
        403 "not allowed";
        404 "not found";
        405 "method not allowed";
        408 "the request took too long to arrive";
        413 "body larger than {BODY_LIMIT}";
        414 "request line too long";
        416 "range outside the file";
        494 "headers too long";
        500 "the server could not answer";
    }}
"""


def _server(listens: str, app_port: int, key: str, folders: NginxFolders) -> str:
    return f"""
    upstream app {{
        server 127.0.0.1:{app_port} max_fails=0;
        keepalive 256;
        # Shorter than the limit of the app itself (75 s), so that nginx never sends into a closing connection.
        keepalive_timeout 60s;
    }}

    server {{
{listens}
        merge_slashes off;
        error_page 400 403 404 405 408 413 414 416 494 500 /error/refused;
        error_page 502 503 504 =503 /error/away;

        # The name is the content: the tag never changes and a range may be resumed against it.
        location ~ "^/blobs/sha256/(?<sha256>[0-9a-f]{{64}})$" {{
            if ($odd_path) {{ return 400; }}
            limit_except GET {{ deny all; }}
            alias {folders.blobs}/sha256/$sha256;
            etag off;
            add_header ETag '"$sha256"';
            add_header Cache-Control "public, max-age=31536000, immutable";
        }}

        # The loaders that TFTP has too, for UEFI HTTP boot.
        location ~ "^/boot/files/(?<loader>[A-Za-z0-9_-][A-Za-z0-9._-]*)$" {{
            if ($odd_path) {{ return 400; }}
            limit_except GET {{ deny all; }}
            alias {folders.tftp}/$loader;
        }}

        location /node/ {{
            if ($odd_path) {{ return 400; }}
            proxy_pass http://app;
        }}
        location /boot/1/ {{
            if ($odd_path) {{ return 400; }}
            proxy_pass http://app;
        }}
        location / {{
            return 404;
        }}

        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Muster-Key {key};
        proxy_connect_timeout 5s;
        proxy_read_timeout 75s;
        proxy_send_timeout 30s;
        proxy_max_temp_file_size 0;

        location = /error/refused {{
            internal;
            default_type text/plain;
            return 200 "$why\\n";
        }}
        location = /error/away {{
            internal;
            default_type text/plain;
            add_header Retry-After 2 always;
            return 503 "the controller is starting or restarting: try again\\n";
        }}
    }}
"""
