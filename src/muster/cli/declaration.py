"""`muster apply`, `diff`, `export`: everything declared as text, laid over what is, compared with it, written out."""

from collections.abc import Sequence
from typing import IO, Any

import click

from muster.cli import difference, output
from muster.cli.documents import read
from muster.cli.session import F, Session, change_options, pass_session
from muster.cli.settle import Caution, ask, settle
from muster.model import urls
from muster.model.errors import RequestError

DIFFERENT = 1
"""The exit status of `muster diff` when something differs, as of diff(1)."""


def _declaration(function: F) -> F:
    for option in (
        click.argument("files", nargs=-1, required=True, type=click.File("rb")),
        click.option("--prune", is_flag=True, help="Remove the nodes, profiles and networks that are not in FILES."),
        click.option("--allow-missing-images", is_flag=True, help="Images, tags and versions may come later."),
    ):
        function = option(function)
    return function


@click.command()
@_declaration
@change_options
@pass_session
def apply(
    session: Session, /, files: Sequence[IO[bytes]], prune: bool, allow_missing_images: bool, **options: Any
) -> None:
    """Make or replace the objects of YAML FILES (`-` for standard input), all or nothing.

    A document is the whole object: what it does not set is unset. With --prune what would be removed is shown,
    and asked for unless --yes.
    """
    declaration = read(files)
    body = {"documents": declaration.documents, "prune": prune, "missing_images": allow_missing_images}
    settle(session, urls.API_APPLY, body, Caution(ask_removal=prune, **options), declaration.located)


@click.command()
@_declaration
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", help="How to show it.")
@pass_session
@click.pass_context
def diff(
    context: click.Context,
    session: Session,
    files: Sequence[IO[bytes]],
    prune: bool,
    allow_missing_images: bool,
    form: str,
) -> None:
    """Show what `muster apply FILES` would change; change nothing.

    Exit status as of diff(1): 0 nothing, 1 something would change; 2 and 3 as everywhere.
    """
    declaration = read(files)
    body = {"documents": declaration.documents, "prune": prune, "missing_images": allow_missing_images}
    found = ask(session, urls.API_APPLY, {**body, "dry_run": True}, declaration.located)["differences"]
    if form == "json":
        click.echo(output.as_json(found), nl=False)
    else:
        click.echo(difference.render(found, difference.coloured()), nl=False)
    context.exit(DIFFERENT if found else 0)


@click.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("--all", "everything", is_flag=True, help="Every kind, as without KIND.")
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "json"]), default="yaml", help="How to show it.")
@pass_session
def export(session: Session, kinds: Sequence[str], everything: bool, form: str) -> None:
    """Write everything declared, or some KINDs of it (image, network, profile, node), for `muster apply`.

    Sorted and stable, fit for git. Of an image these are its tags; versions are moved by `muster image export`.
    """
    if kinds and everything:
        raise RequestError("--all is every kind", hint="muster export, or muster export KIND ...")
    found = session.rows(urls.API_EXPORT, {"kinds": ",".join(kinds)} if kinds else None)
    click.echo(output.as_json(found) if form == "json" else output.documents(found), nl=False)
