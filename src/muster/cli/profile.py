"""`muster profile`: named settings that nodes list; `default` applies to all."""

import click

from muster.cli.declared import add_verbs


@click.group()
def profile() -> None:
    """Profiles: named settings that nodes list; `default` applies to all."""


add_verbs(profile, "profile")
