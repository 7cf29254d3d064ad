"""What every command shares: the prefix, the client, the form of the output, and errors into exit statuses."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from muster.cli import output, ranges
from muster.client import Client, ClientError
from muster.host.paths import Paths
from muster.model.errors import RequestError

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_LIMIT = 50
"""A change to more objects asks first."""


@dataclass(frozen=True)
class Session:
    """One run of the command line."""

    paths: Paths
    _ready: dict[str, str] = field(default_factory=dict)
    """Ranges as they were given, and as the controller is asked for them: files are read once."""

    @property
    def client(self) -> Client:
        return Client(self.paths.socket)

    def rows(self, path: str, query: dict[str, str] | None = None) -> list[dict[str, Any]]:
        with self._ranges_of(query or {}) as fields:
            return _rows(self.client.get(path, fields or None), path)

    def one(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        return _mapping(self.client.get(path, query), path)

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._ranges_of(body) as fields:
            return _mapping(self.client.post(path, fields), path)

    def ask_rows(self, path: str, body: dict[str, Any], timeout: float | None = None) -> list[dict[str, Any]]:
        """`timeout`: the seconds that the answer may take, where it may take long."""
        client = self.client if timeout is None else Client(self.paths.socket, timeout)
        with self._ranges_of(body) as fields:
            return _rows(client.post(path, fields), path)

    @contextmanager
    def _ranges_of(self, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The fields of a question with the range in them made ready (cli/ranges.py)."""
        if "names" not in fields:
            yield fields
            return
        given = fields["names"]
        with ranges.shell_noticed(given, warn=given not in self._ready):
            if given not in self._ready:
                self._ready[given] = ranges.prepared(given)
            yield {**fields, "names": self._ready[given]}


pass_session = click.make_pass_decorator(Session)


def form_option(function: F) -> F:
    """`-o table|json|yaml|name`, as every listing has it."""
    return click.option(
        "-o", "--output", "form", type=click.Choice(output.FORMATS), default="table", help="How to show it."
    )(function)


def timeout_option(default: float) -> Callable[[F], F]:
    """`--timeout SECONDS`: how long nodes are waited for."""
    return click.option(
        "--timeout",
        type=click.FloatRange(1, 600),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long for the nodes' answers.",
    )


def change_options(function: F) -> F:
    """`--dry-run`, `--yes`, `--limit N`, as everything that changes objects has them."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show what would change; change nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--limit",
            type=click.IntRange(min=0),
            default=DEFAULT_LIMIT,
            show_default=True,
            envvar="MUSTER_LIMIT",
            show_envvar=True,
            help="Ask before more objects than this are changed.",
        ),
    ):
        function = option(function)
    return function


def assignments(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words; `key=@FILE` takes the value from a file. Raises RequestError."""
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise RequestError(f"a setting is KEY=VALUE, not {word!r}", hint=ranges.file_hint([word]))
        if key in pairs:
            raise RequestError(f"{key} is given twice")
        pairs[key] = _from_file(value[1:]) if value.startswith("@") else value
    return pairs


def _rows(answer: object, path: str) -> list[dict[str, Any]]:
    if not isinstance(answer, list):
        raise ClientError(f"a list was expected from {path}", exit_status=3)
    return answer


def _from_file(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except OSError as error:
        raise RequestError(f"cannot read the value: {error.strerror}", where=name) from error


def _mapping(answer: object, path: str) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ClientError(f"an object was expected from {path}", exit_status=3)
    return answer
