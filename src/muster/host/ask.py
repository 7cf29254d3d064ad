"""The only door to small questions over a unix socket: one JSON line there, one JSON line back.

The lab's root process answers such questions; the lab's commands and the power driver `lab` ask them.
"""

import json
import socket
import struct
import time
from pathlib import Path

from muster.model.errors import MusterError, RequestError, UnreachableError

MAX_LINE = 1 << 20


def ask(path: Path, question: dict[str, object], *, timeout: float) -> dict[str, object]:
    """Send one question and return its answer; `timeout` is for the whole exchange, in seconds.

    UnreachableError: nobody listens, or no whole answer in time. RequestError: the answer is
    `{"error": ..., "hint": ...}`, that is, the question was refused.
    """
    try:
        line = _exchange(path, json.dumps(question).encode() + b"\n", timeout)
    except OSError as error:
        raise UnreachableError(f"no answer: {error.strerror or error}", where=str(path)) from error
    return _answer(path, line)


def listener(path: Path, *, timeout: float) -> int:
    """Process id, as this process sees it, of who listens on a unix socket; it does not have to answer.

    The kernel keeps it with the socket (SO_PEERCRED, unix(7)), so it is never stale. UnreachableError: nobody listens.
    """
    try:
        with _connected(path, timeout) as connection:
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError as error:
        raise UnreachableError(f"nobody listens: {error.strerror or error}", where=str(path)) from error
    return int(struct.unpack("3i", raw)[0])


def _connected(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _exchange(path: Path, question: bytes, timeout: float) -> bytes:
    end = time.monotonic() + timeout
    with _connected(path, timeout) as connection:
        connection.sendall(question)
        received = bytearray()
        while b"\n" not in received:
            connection.settimeout(max(0.001, end - time.monotonic()))
            piece = connection.recv(65536)
            if not piece or len(received) > MAX_LINE:
                break
            received += piece
    return bytes(received)


def _answer(path: Path, line: bytes) -> dict[str, object]:
    if not line.endswith(b"\n"):
        raise UnreachableError("the answer was cut off", where=str(path))
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise MusterError("the answer is not JSON", where=str(path)) from error
    if not isinstance(answer, dict):
        raise MusterError("the answer is not a JSON object", where=str(path))
    if "error" in answer:
        raise RequestError(str(answer["error"]), where=str(path), hint=str(answer.get("hint", "")))
    return answer
