"""`muster network`: the segments on which this controller answers DHCP."""

import click

from muster.cli.declared import add_verbs


@click.group()
def network() -> None:
    """Networks: the segments on which this controller answers DHCP."""


add_verbs(network, "network")
