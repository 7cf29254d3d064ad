"""`muster audit`: who changed what, and when."""

import re
import time
from typing import Any

import click

from muster.cli import complete, output
from muster.cli.session import Session, form_option, pass_session
from muster.host.clock import SystemClock
from muster.model import urls
from muster.model.errors import RequestError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_SHOWN = "%Y-%m-%d %H:%M:%S"
_KINDS = ("node", "profile", "network", "image", "version", "machine", "power", "order")


def _kinds(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    return [kind for kind in _KINDS if kind.startswith(typed)]


@click.command()
@click.argument("kind", required=False, shell_complete=_kinds)
@click.argument("names", required=False, shell_complete=complete.audited)
@click.option("--who", metavar="USER", help="Only what this Unix user did.")
@click.option("--since", metavar="WHEN", help="Only from then on: 30m, 2h, 7d ago, or 2026-01-31, 2026-01-31T18:00.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many changes."
)
@form_option
@pass_session
def audit(
    session: Session, kind: str | None, names: str | None, who: str | None, since: str | None, limit: int, form: str
) -> None:
    """Say who changed what and when, newest first: of all objects, of a KIND, or of NAMES of a kind.

    Switching and adopting nodes, and orders to them, are included; `muster audit power` shows only the first,
    `muster audit order` only the last.

    muster audit node n[1-16] --since 2h
    """
    query = {"kind": kind, "names": names, "who": who, "limit": str(limit)}
    if since:
        query["since"] = str(moment(since, SystemClock().now()))
    if form in ("table", "name"):
        query["folded"] = "true"
    rows = session.rows(urls.API_AUDIT, {key: value for key, value in query.items() if value is not None})
    if form == "table":
        click.echo("".join(_words(row) for row in rows) or "nothing was changed\n", nl=False)
    else:
        click.echo(output.listing(rows, ("name",), form), nl=False)


def moment(text: str, now: float) -> float:
    """Unix seconds of `2h` (before `now`) or of a local date and time. Raises RequestError."""
    if ago := re.fullmatch(r"(\d{1,9})([smhdw])", text):
        return max(0.0, now - int(ago[1]) * _UNITS[ago[2]])
    for form in _FORMATS:
        try:
            return time.mktime(time.strptime(text, form))
        except (ValueError, OverflowError):
            continue
    raise RequestError(f"--since: not a time: {text!r}", hint="30m, 2h, 7d, 2026-01-31 or 2026-01-31T18:00")


def _words(row: dict[str, Any]) -> str:
    head = (
        f"{time.strftime(_SHOWN, time.localtime(row['at']))}  {row['who']}  {row['verb']} {row['kind']} {_name(row)}\n"
    )
    return head + "".join(f"    {_field(row['verb'], entry)}\n" for entry in row["fields"])


def _field(verb: str, entry: dict[str, Any]) -> str:
    before, after = (output.words(entry[side]) for side in ("before", "after"))
    match verb:
        case "add" | "adopt":
            return f"{entry['field']}: {after}"
        case "delete":
            return f"{entry['field']}: {before}"
    return f"{entry['field']}: {before} -> {after}"


def _name(row: dict[str, Any]) -> str:
    """A pending machine by its id, as `muster node pending` shows it."""
    return str(row["name"])[:8] if row["kind"] == "machine" else str(row["name"])
