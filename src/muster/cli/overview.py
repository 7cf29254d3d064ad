"""`muster status`, `watch`, `version`: the verbs without a noun."""

from collections.abc import Iterator
from typing import Any

import click

import muster
from muster.cli import complete, output
from muster.cli.session import Session, form_option, pass_session
from muster.model import urls

CAUSES = 20
"""How many causes, and how many waiting machines, are shown to a person at once."""


@click.command()
@form_option
@pass_session
def status(session: Session, form: str) -> None:
    """Count nodes by state, then say what needs attention.

    With -o name: the nodes that need it, a folded range for each cause.
    """
    found = session.one(urls.API_STATUS)
    if form == "name":
        click.echo("".join(f"{entry['nodes']}\n" for entry in found["attention"]), nl=False)
    elif form == "table":
        click.echo("\n".join(_status_lines(found)))
    else:
        click.echo(output.document(found, form), nl=False)


def _status_lines(found: dict[str, Any]) -> Iterator[str]:
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
    yield counts or "no nodes are declared: muster node add, or switch a machine on and adopt it"
    if found["ready"]:
        yield f"{found['ready']} ready"
    for entry in found["attention"][:CAUSES]:
        yield f"{entry['nodes']} {entry['state']}" + (f": {entry['message']}" if entry["message"] else "")
    if rest := found["attention"][CAUSES:]:
        nodes = sum(entry["count"] for entry in rest)
        yield f"and {nodes} nodes with {len(rest)} other causes: muster status -o yaml"
    yield from _reboot_lines(found["reboot"])
    for entry in found["pending"][:CAUSES]:
        yield f"machine {entry['machine']} waits to be adopted: {output.words(entry['product'])} {entry['mac']}"
    if (more := len(found["pending"]) - CAUSES) > 0:
        yield f"and {more} more machines: muster node pending"


def _reboot_lines(reboot: dict[str, Any]) -> Iterator[str]:
    if reboot["count"]:
        changes = ", ".join(f"{change['what']} ({change['nodes']})" for change in reboot["changes"])
        yield f"{_nodes(reboot['count'])} would change at a reboot: {changes}"
    if (unknown := reboot["unknown"])["count"]:
        yield f"of {_nodes(unknown['count'])} it is not known what a reboot would change: {unknown['nodes']}"


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


@click.command()
@click.argument("names", default="@all", shell_complete=complete.names("node"))
@click.option("--until-ready", is_flag=True, help="Return when all are ready.")
@click.option("--timeout", type=float, default=None, help="Give up after so many seconds (exit status 1).")
@pass_session
def watch(session: Session, names: str, until_ready: bool, timeout: float | None) -> None:
    """Follow the boots of NAMES live."""
    from muster.cli.watch import follow

    follow(session, names, until_ready, timeout)


@click.command()
def version() -> None:
    """Print the release."""
    click.echo(f"muster {muster.__version__}")
