"""`muster serve`: the controller, in the foreground."""

import click


@click.command("serve")
@click.option("--prefix", metavar="DIR", help="Keep configuration, state and run-time files below DIR.")
@click.pass_context
def serve(context: click.Context, prefix: str | None) -> None:
    """Run the controller in the foreground until SIGTERM or SIGINT.

    It starts as root; its services (app, nginx, dnsmasq) run without.
    """
    from muster import settings
    from muster.host.paths import Paths
    from muster.services.supervise import serve as supervise

    paths = Paths.of(prefix)
    context.exit(supervise(paths, settings.read(paths.config)))
