"""The verbs that nodes, profiles and networks share: list, show, add, set, delete."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from muster.cli import complete, output
from muster.cli.session import Session, assignments, change_options, form_option, pass_session
from muster.cli.settle import Caution, settle
from muster.client import segment
from muster.model import urls
from muster.model.errors import RequestError

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = {
    "node": ("name", "state", "seconds", "mode", "running", "ram", "upper", "address", "reboot", "trouble"),
    "profile": ("name", "image", "root", "overlays", "kernel_arguments"),
    "network": ("name", "subnet", "address", "interface", "mode", "pool"),
    "machine": ("machine", "state", "vendor", "product", "serial", "mac", "cpus", "memory"),
}
SELECTABLE = {
    "node": (
        *("name", "state", "stage", "percent", "seconds", "image", "version", "address", "mac", "profiles", "labels"),
        *("mode", "running", "digest", "ram", "upper", "reboot", "trouble", "message", "reason", "heard", "boot"),
    )
}
"""What may be shown instead, of kinds that have more than their declaration."""

LISTS = (
    "Lists are written with commas (overlays=base,site), kernel_arguments with blanks as on a kernel's command line."
)


def add_verbs(group: click.Group, kind: str) -> None:
    """Give a noun its common verbs."""
    group.add_command(_list(kind))
    group.add_command(_show(kind))
    group.add_command(_assign(kind, "add", make=True))
    group.add_command(_assign(kind, "set", make=False))
    group.add_command(_delete(kind))


def _list(kind: str) -> click.Command:
    @click.command("list", help=f"List {kind}s.")
    @click.argument("names", default="@all", shell_complete=complete.names(kind))
    @_columns_option(kind)
    @form_option
    @pass_session
    def command(session: Session, names: str, form: str, chosen: str | None = None) -> None:
        columns = COLUMNS[kind][:1] if form == "name" else _chosen(kind, chosen)
        wanted = columns if chosen or form in ("name", "table") else None
        query = {"names": names} | ({"columns": ",".join(wanted)} if wanted else {})
        rows = session.rows(urls.API_OBJECTS.format(kind=kind), query)
        click.echo(output.listing(rows, columns, form), nl=False)

    return command


def _columns_option(kind: str) -> Callable[[F], F]:
    """`--columns A,B`, for kinds that have a choice."""
    if kind not in SELECTABLE:
        return lambda function: function
    words = ", ".join(SELECTABLE[kind])
    complete_columns = complete.words_of(SELECTABLE[kind])
    return click.option(
        "--columns", "chosen", metavar="A,B,...", shell_complete=complete_columns, help=f"Which to show: {words}."
    )


def _chosen(kind: str, words: str | None) -> tuple[str, ...]:
    columns = tuple(words.split(",")) if words else COLUMNS[kind]
    if wrong := [column for column in columns if column not in SELECTABLE.get(kind, columns)]:
        raise RequestError(f"there is no column {wrong[0]!r}", hint=f"the columns are {', '.join(SELECTABLE[kind])}")
    return columns


def _show(kind: str) -> click.Command:
    running = ", and `now`: how it runs, what that costs, what a reboot would change" if kind == "node" else ""

    @click.command("show", help=f"Show a {kind} as it was declared{running}.")
    @click.argument("name", shell_complete=complete.name(kind))
    @click.option("--effective", is_flag=True, help="With what profiles and defaults add (nodes).")
    @form_option
    @pass_session
    def command(session: Session, name: str, effective: bool, form: str) -> None:
        path = urls.API_OBJECT.format(kind=kind, name=segment(name))
        click.echo(output.document(session.one(path, {"effective": str(effective).lower()}), form), nl=False)

    return command


def _assign(kind: str, verb: str, *, make: bool) -> click.Command:
    text = f"Make {kind}s" if make else f"Change {kind}s; an empty value unsets"

    @click.command(verb, help=f"{text}: muster {kind} {verb} NAMES KEY=VALUE ...  (KEY=@FILE reads a file).\n\n{LISTS}")
    @click.argument("names", shell_complete=complete.names(kind))
    @click.argument("settings", nargs=-1, shell_complete=complete.settings(kind))
    @change_options
    @pass_session
    def command(session: Session, /, names: str, settings: tuple[str, ...], **options: Any) -> None:
        body = {"kind": kind, "names": names, "assignments": assignments(settings), "make": make}
        settle(session, urls.API_SET, body, Caution(**options))

    return command


def _delete(kind: str) -> click.Command:
    @click.command("delete", help=f"Remove {kind}s.")
    @click.argument("names", shell_complete=complete.names(kind))
    @change_options
    @pass_session
    def command(session: Session, /, names: str, **options: Any) -> None:
        settle(session, urls.API_DELETE, {"kind": kind, "names": names}, Caution(**options))

    return command
