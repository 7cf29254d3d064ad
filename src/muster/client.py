"""The API over the controller's unix socket. Standard library only, so that a question starts fast."""

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

Json = object


class ClientError(Exception):
    """The controller refused, failed, or cannot be reached; `exit_status` as in the command line's contract.

    `problems` are the single things that are wrong with the request, in the form of model.errors.Problem.
    """

    def __init__(
        self, message: str, exit_status: int, status: int = 0, *, hint: str = "", problems: Sequence[Json] = ()
    ) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.status = status
        self.hint = hint
        self.problems = tuple(problems)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("muster", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """Ask the controller whose socket this is. `timeout` in seconds bounds each answer."""

    def __init__(self, socket_path: Path, timeout: float = 60.0) -> None:
        self._path = socket_path
        self._timeout = timeout

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: Json) -> Json:
        return self._ask("POST", path, body)

    def _ask(self, method: str, target: str, body: Json) -> Json:
        connection = _UnixConnection(self._path, self._timeout)
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, target, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClientError(
                f"no controller answers on {self._path}: {error}\n"
                "  hint: `systemctl start muster`, or `muster serve` in a terminal",
                exit_status=3,
            ) from error
        finally:
            connection.close()
        return _parsed(answer.status, text)


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def _parsed(status: int, text: bytes) -> Json:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ClientError(f"the controller's answer is not JSON (HTTP {status})", exit_status=3) from error
    if status >= 400:
        refusal = parsed if isinstance(parsed, dict) else {}
        raise ClientError(
            str(refusal.get("error") or f"HTTP {status}"),
            exit_status=int(refusal.get("exit_status", 3)),
            status=status,
            hint=str(refusal.get("hint", "")),
            problems=refusal.get("problems", ()),
        )
    return parsed
