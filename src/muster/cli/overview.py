"""`muster status`, `watch`, `version`: the verbs without a noun."""

import click

import muster
from muster.cli import output
from muster.cli.session import Session, form_option, pass_session
from muster.model import urls


@click.command()
@form_option
@pass_session
def status(session: Session, form: str) -> None:
    """Count nodes by state, then say what needs attention."""
    found = session.one(urls.API_STATUS)
    if form != "table":
        click.echo(output.document(found, form), nl=False)
        return
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
    click.echo(counts or "no nodes are declared: muster node add, or switch a machine on and adopt it")
    if found["ready"]:
        click.echo(f"{found['ready']} ready")
    for entry in found["attention"]:
        click.echo(f"{entry['nodes']} {entry['state']}" + (f": {entry['message']}" if entry["message"] else ""))
    for entry in found["pending"]:
        click.echo(f"machine {entry['machine']} waits to be adopted: {output.words(entry['product'])} {entry['mac']}")


@click.command()
@click.argument("names", default="@all")
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
