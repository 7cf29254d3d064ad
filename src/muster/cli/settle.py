"""The one way in which commands change objects: see what would change, show or ask, then do just that.

What was seen is what is done: the change carries the revision at which it was looked at, and the controller
refuses it when one of its objects changed since.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from muster.cli import difference
from muster.cli.session import DEFAULT_LIMIT, Session
from muster.client import ClientError
from muster.model.errors import RequestError, lines

Place = tuple[int, int]
"""By what problems are sorted: the number of the document, then the line."""
Locate = Callable[[Mapping[str, Any]], tuple[Place, str]]
"""The place of a problem in what was read, and its text with file and line."""


@dataclass(frozen=True)
class Caution:
    """How careful a change is to be; `ask_removal` asks before anything is removed, however little."""

    dry_run: bool = False
    yes: bool = False
    limit: int = DEFAULT_LIMIT
    ask_removal: bool = False


def settle(session: Session, path: str, body: dict[str, Any], caution: Caution, locate: Locate | None = None) -> None:
    """Change what `body` asks for at `path` of the API and say so; `locate` finds a problem's place in its file."""
    seen = ask(session, path, {**body, "dry_run": True}, locate)
    if not seen["differences"]:
        click.echo("nothing to change")
    elif caution.dry_run:
        click.echo(difference.render(seen["differences"], difference.coloured()), nl=False)
    else:
        _confirm(seen["differences"], caution)
        say(ask(session, path, {**body, "based_on": seen["seen"]}, locate))


def ask(session: Session, path: str, body: dict[str, Any], locate: Locate | None = None) -> dict[str, Any]:
    """The controller's answer; its problems named as `FILE:LINE` where `locate` knows them."""
    try:
        return session.ask(path, body)
    except ClientError as error:
        if locate is None or not error.problems:
            raise
        placed = sorted(locate(problem) for problem in error.problems if isinstance(problem, Mapping))
        found = [text for _, text in placed]
        raise RequestError(f"nothing was changed:\n{lines(found)}", hint=error.hint) from error


def say(outcome: Mapping[str, Any]) -> None:
    """Tell what was changed, one line an object."""
    for line in outcome["lines"] or ["nothing to change"]:
        click.echo(line)


def _confirm(differences: list[dict[str, Any]], caution: Caution) -> None:
    """Ask where it is much, or something goes. RequestError where nobody can be asked."""
    count = sum(len(d["names"]) for d in differences)
    removal = [d for d in differences if d["verb"] == "delete"] if caution.ask_removal else []
    if caution.yes or (count <= caution.limit and not removal):
        return
    totals = difference.totals(differences)
    if not sys.stdin.isatty():
        shown = difference.render(removal)
        why = "objects would be removed" if removal else f"more than {caution.limit} objects (--limit)"
        message = f"{totals}: {why}, and nobody can be asked here; nothing was changed"
        raise RequestError(f"{message}\n{shown}".rstrip(), hint="--dry-run shows it, --yes does it")
    click.echo(difference.render(differences, difference.coloured()), nl=False)
    click.confirm(f"{totals}. Go on?", abort=True)
