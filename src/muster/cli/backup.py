"""`muster backup` and `muster restore`: a controller in a file, and on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.session import Session, pass_session

if TYPE_CHECKING:
    from muster.store.archive import Manifest


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--secrets", is_flag=True, help="With secrets and the key of node tokens: keep such a file like a key.")
@pass_session
def backup(session: Session, file: Path, secrets: bool) -> None:
    """Write objects, boots, site id and everything in /etc/muster to FILE; the controller may run meanwhile.

    Images are not in it: their versions are listed, `muster image export` carries each.
    """
    import muster
    from muster.host.clock import SystemClock
    from muster.store.backup import backup as write

    made = write(session.paths, file.absolute(), secrets=secrets, release=muster.__version__, now=SystemClock().now())
    click.echo(f"{file}: {len(made.entries)} entries, {made.size} bytes, readable by its owner only")
    if secrets:
        click.echo("secrets are in it: whoever reads this file can act as this controller", err=True)
    else:
        click.echo("secrets are not in it (--secrets): restored, nodes get new tokens by themselves", err=True)
    for version in made.versions:
        click.echo(f"not in it: muster image export {version} FOLDER", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Also over an existing controller, which is kept aside.")
@pass_session
def restore(session: Session, file: Path, force: bool) -> None:
    """Lay a backup on this machine, where no controller runs. Nothing is changed unless FILE is wholly good."""
    import os

    from muster import settings
    from muster.host.clock import SystemClock
    from muster.host.files import locked
    from muster.model.errors import RequestError
    from muster.services.prepare import account, prepare, token_key
    from muster.services.supervise import LOCK
    from muster.store.restore import restore as lay

    if os.geteuid() != 0:
        raise RequestError("a restore gives files to the services' user: it needs root", hint="sudo muster restore")

    def owner(config: Path) -> tuple[int, int]:
        found = account(settings.read(config).user)
        return found.uid, found.gid

    paths = session.paths
    paths.run.mkdir(parents=True, exist_ok=True)
    with locked(paths.run / LOCK, holder="a running controller"):
        restored = lay(file, paths, owner, SystemClock(), force=force)
        drawn = token_key(paths, prepare(paths, settings.read(paths.config).user))
    _tell(restored, drawn)


def _tell(restored: Manifest, drawn: bool) -> None:
    click.echo(f"restored {len(restored.entries)} entries, made by release {restored.release}")
    if drawn:
        click.echo("a new key of node tokens was drawn: running nodes say hello again", err=True)
    for version in restored.versions:
        click.echo(f"still to carry: muster image import FOLDER  ({version})", err=True)
    click.echo("next: muster serve", err=True)
