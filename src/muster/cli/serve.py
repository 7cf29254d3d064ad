"""`muster serve`: the controller, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from muster.cli.session import Session


@click.command("serve")
@click.option("--prefix", metavar="DIR", help="As `muster --prefix DIR serve`.")
@click.pass_obj
def serve(session: Session | None, prefix: str | None) -> None:
    """Run the controller in the foreground until SIGTERM or SIGINT.

    It starts as root; its services (app, nginx, dnsmasq) run without.
    """
    from muster import settings
    from muster.host.paths import Paths
    from muster.services.prepare import refuse_unreadable_program
    from muster.services.supervise import serve as supervise

    paths = session.paths if session and not prefix else Paths.of(prefix)
    configured = settings.read(paths.config)
    refuse_unreadable_program(configured.user)
    supervise(paths, configured)
