"""`muster node`: the machines that boot from this controller."""

from typing import IO, Any

import click

from muster.cli import complete, output
from muster.cli.declared import COLUMNS, add_verbs
from muster.cli.import_nodes import read
from muster.cli.session import Session, assignments, change_options, form_option, pass_session, timeout_option
from muster.cli.settle import Caution, say, settle
from muster.client import segment
from muster.model import urls
from muster.model.errors import SomeFailedError


@click.group()
def node() -> None:
    """Nodes: declare, adopt, explain, trace, switch, free."""


add_verbs(node, "node")


@node.command()
@form_option
@pass_session
def pending(session: Session, form: str) -> None:
    """List machines that booted but are no node yet."""
    rows = session.rows(urls.API_OBJECTS.format(kind="machine"))
    click.echo(output.listing(rows, COLUMNS["machine"], form), nl=False)


@node.command()
@click.argument("machine", shell_complete=complete.name("machine"))
@click.argument("name", shell_complete=complete.name("node"))
@click.argument("settings", nargs=-1, shell_complete=complete.settings("node"))
@pass_session
def adopt(session: Session, machine: str, name: str, settings: tuple[str, ...]) -> None:
    """Make a pending MACHINE (its id, or the start of it) the node NAME; it goes on booting by itself.

    muster node adopt 3fa9c012 n7 interfaces.eth0.address=10.77.0.17/24 profiles=compute
    """
    say(session.ask(urls.API_ADOPT, {"machine": machine, "name": name, "assignments": assignments(settings)}))


@node.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--interface", default="eth0", show_default=True, help="The interface that `mac` and `address` are of.")
@change_options
@pass_session
def import_inventory(session: Session, /, file: IO[bytes], interface: str, **options: Any) -> None:
    """Declare the nodes of an inventory FILE in CSV, all or nothing; what exists is changed.

    The first line names the columns: name, then any of mac, address, uuid, serial, product, bmc, driver, profile,
    label.KEY, or settings as `muster node set` takes them (image, power.user). An empty cell changes nothing.
    """
    sheet = read(file, interface)
    body = {"kind": "node", "rows": sheet.rows}
    settle(session, urls.API_IMPORT, body, Caution(**options), sheet.located)


@node.command()
@click.argument("name", shell_complete=complete.name("node"))
@form_option
@pass_session
def explain(session: Session, name: str, form: str) -> None:
    """Say what NAME will boot and where each setting comes from; nothing is changed."""
    found = session.one(urls.API_EXPLAIN.format(node=segment(name)))
    if form != "table":
        click.echo(output.document(found, form), nl=False)
        return
    click.echo(f"{name} {found['decision']}\n")
    rows = [{**row, "key": _field(row["key"]), "value": _shortened(row["value"])} for row in found["settings"]]
    click.echo(output.listing(rows, ("key", "value", "source"), "table"))
    click.echo(f"boot answer:\n{found['boot_answer']}", nl=False)


@node.command()
@click.argument("name", shell_complete=complete.name("node"))
@click.option("--boot", help="An earlier boot, by its id.")
@form_option
@pass_session
def trace(session: Session, name: str, boot: str | None, form: str) -> None:
    """Show the timeline of NAME's last boot."""
    found = session.one(urls.API_TRACE.format(node=segment(name)), {"boot": boot} if boot else None)
    if form != "table":
        click.echo(output.document(found, form), nl=False)
        return
    from muster.cli.trace import text

    click.echo(text(found), nl=False)


@node.command()
@click.argument("names", shell_complete=complete.names("node"))
@click.argument("action", type=click.Choice(["on", "off", "cycle", "reset", "status"]))
@form_option
@pass_session
def power(session: Session, names: str, action: str, form: str) -> None:
    """Switch the machines of NAMES."""
    rows = session.ask_rows(urls.API_POWER, {"names": names, "action": action})
    click.echo(output.listing(rows, ("name", "power", "error"), form), nl=False)
    failed = [f"{row['name']}: {row['error']}" for row in rows if row["error"]]
    if failed:
        raise SomeFailedError("\n".join(failed))


@node.command()
@click.argument("names", shell_complete=complete.names("node"))
@timeout_option(120.0)
@form_option
@pass_session
def free(session: Session, names: str, timeout: float, form: str) -> None:
    """Let the running NAMES empty what can be made again, to free RAM of their upper layers; say what that gave.

    /tmp, /var/tmp, package caches, rotated logs, the journal and core dumps. Where nothing was to be freed, the largest
    files are named. Exit status 1 when a node failed or did not answer.
    """
    from muster.cli import orders

    rows = session.ask_rows(urls.API_FREE, {"names": names, "timeout": timeout}, timeout + orders.GRACE)
    if form == "table":
        click.echo(orders.collated(rows), nl=False)
    else:
        click.echo(output.listing(orders.done(rows) if form == "name" else rows, ("name",), form), nl=False)
    orders.refuse_failed(rows)


def _field(key: str) -> str:
    """`overlays[base]` is an entry of `overlays`; the entry stands beside it."""
    return f"{key.partition('[')[0]}[]" if key.endswith("]") else key


def _shortened(value: object, most: int = 60) -> str:
    text = output.words(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


@node.command()
@click.argument("names", default="@all", shell_complete=complete.names("node"))
@click.option("--format", "form", type=click.Choice(["genders", "ansible"]), required=True, help="For which program.")
@pass_session
def inventory(session: Session, names: str, form: str) -> None:
    """Write NAMES with their profiles and labels as a genders file or an Ansible inventory."""
    from muster.cli import inventory as written

    query = {"names": names, "columns": ",".join(written.COLUMNS)}
    rows = session.rows(urls.API_OBJECTS.format(kind="node"), query)
    click.echo(written.FORMATS[form](rows), nl=False)
