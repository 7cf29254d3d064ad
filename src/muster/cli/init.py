"""`muster init`: make this machine ready to run `muster serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from muster.cli.session import Session
    from muster.host.paths import Paths
    from muster.settings import Settings


@click.command("init")
@click.option("--listen", "listen", multiple=True, metavar="ADDR:PORT", help="Node-facing address; may be repeated.")
@click.option("--app-port", default="9899", show_default=True, help="Loopback port between nginx and the app.")
@click.option("--user", default="muster", show_default=True, help="Name or numeric id that the services run as.")
@click.option("--prefix", metavar="DIR", help="As `muster --prefix DIR init`.")
@click.pass_obj
def init(session: Session | None, listen: tuple[str, ...], app_port: str, user: str, prefix: str | None) -> None:
    """Write muster.yaml, make the services' user, the folders and the key of node tokens.

    What is there already stays as it is, so that running this again does no harm.
    """
    import os

    from muster.host.paths import Paths
    from muster.model.errors import RequestError
    from muster.services.prepare import account, prepare, token_key

    paths = session.paths if session and not prefix else Paths.of(prefix)
    if os.geteuid() != 0:
        raise RequestError("muster init makes a user and folders: it needs root", hint="sudo muster init")
    settings = _settings(paths, listen, app_port, user)
    _user(settings.user)
    account(settings.user)
    _write(paths, settings)
    owner = prepare(paths, settings.user)
    click.echo(f"ready     {paths.state} and {paths.run}, for user {settings.user} (id {owner.uid})")
    click.echo(f"{'made' if token_key(paths, owner) else 'kept':9} {paths.secrets}/token-key")
    click.echo("\nNext: start the controller, then declare a network and import an image:")
    option = "" if paths == Paths() else f" --prefix {paths.prefix}"
    if not option:
        click.echo("  systemctl enable --now muster, or in the foreground:")
    click.echo(f"  muster serve{option}")


def _settings(paths: Paths, listen: tuple[str, ...], app_port: str, user: str) -> Settings:
    """Those of muster.yaml, or those of the options if it is not there. Nothing is written yet."""
    from muster import settings
    from muster.model.errors import RequestError

    if paths.config.exists():
        found = settings.read(paths.config)
        if listen and listen != found.listen:
            raise RequestError(
                f"listens on {', '.join(found.listen)} already", where=str(paths.config), hint="edit it, then run init"
            )
        return found
    if not listen:
        raise RequestError("--listen is missing", hint="muster init --listen ADDR:9898, the address nodes reach")
    try:
        return settings.check(listen, app_port, user, "info")
    except ValueError as error:
        raise RequestError(str(error)) from error


def _write(paths: Paths, wanted: Settings) -> None:
    """Make muster.yaml unless it is there."""
    from muster import settings

    if paths.config.exists():
        click.echo(f"kept      {paths.config}")
        return
    paths.etc.mkdir(parents=True, exist_ok=True)
    settings.write_default(paths.config, wanted)
    click.echo(f"made      {paths.config}")


def _user(name: str) -> None:
    """Make the default user, and only that one: any other is the administrator's own choice."""
    import pwd

    from muster.host import process
    from muster.settings import DEFAULT_USER

    if name != DEFAULT_USER or any(entry.pw_name == name for entry in pwd.getpwall()):
        return
    home = ("--no-create-home", "--home-dir", "/var/lib/muster", "--shell", "/usr/sbin/nologin")
    process.run(["useradd", "--system", "--user-group", *home, name])
    click.echo(f"made      system user and group {name}")
