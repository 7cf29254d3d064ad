"""`muster noderange`: ranges without doing anything with the nodes."""

from collections.abc import Sequence

import click

from muster.cli import complete, output
from muster.cli.ranges import prepared, read
from muster.cli.session import Session, form_option, pass_session
from muster.model import urls


@click.group()
def noderange() -> None:
    """Node ranges: what they stand for, and short ways to write them (docs/noderange.md)."""


@noderange.command()
@click.argument("ranges", nargs=-1, shell_complete=complete.names("node"))
@form_option
@pass_session
def expand(session: Session, ranges: tuple[str, ...], form: str) -> None:
    """List the names that RANGES stand for, one a line.

    Names alone are not looked up: they may be anything. With a group, pattern or label the controller is asked, and
    every name must be a node's. Without RANGES they are read from standard input, as from a file (^-).
    """
    names = _names(session, ranges)
    click.echo(_listed(names) if form in ("table", "name") else output.listing(_rows(names), ("name",), form), nl=False)


@noderange.command()
@click.argument("ranges", nargs=-1, shell_complete=complete.names("node"))
@form_option
@pass_session
def fold(session: Session, ranges: tuple[str, ...], form: str) -> None:
    """Write the names of RANGES (or of standard input, a range a line) as one short range."""
    from muster.model.ranges.names import fold as folded

    text = folded(_names(session, ranges))
    click.echo(text if form in ("table", "name") else output.document({"range": text}, form).rstrip("\n"))


@noderange.command()
@click.option("--of", "node", metavar="NODE", help="Only those that this node is in.")
@form_option
@pass_session
def groups(session: Session, node: str | None, form: str) -> None:
    """List the groups that a range can name behind @, and who is in them."""
    rows = session.rows(urls.API_GROUPS, {"node": node} if node else None)
    click.echo(output.listing(rows, ("group", "count", "nodes"), form), nl=False)


def _names(session: Session, ranges: Sequence[str]) -> list[str]:
    from muster.model.ranges import grammar
    from muster.model.ranges.evaluate import expand as expanded

    text = prepared(_joined(ranges))
    if not grammar.asks_cluster(grammar.parse(text)):
        return expanded(text)
    return [str(name) for name in session.ask(urls.API_NODERANGE, {"names": text})["names"]]


def _joined(ranges: Sequence[str]) -> str:
    """Several ranges are their union: what one of them excludes stays in the others."""
    if not ranges:
        from muster.model.ranges.grammar import render
        from muster.model.ranges.inline import of_lines

        return render(of_lines(read("-"), "standard input"))
    return ranges[0] if len(ranges) == 1 else ",".join(f"({text})" for text in ranges)


def _rows(names: Sequence[str]) -> list[dict[str, object]]:
    return [{"name": name} for name in names]


def _listed(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)
