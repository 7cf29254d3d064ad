"""`muster lab`: a virtual cluster on this machine."""

import os
import sys
from pathlib import Path

import click

from muster.cli.session import form_option
from muster.model.errors import RequestError

COLUMNS = ("node", "firmware", "mac", "power", "state", "console")
DISK_UNITS = {"m": 1, "g": 1024, "t": 1024 * 1024}


@click.group()
def lab() -> None:
    """A virtual cluster on this machine: a controller and nodes that boot from their firmware."""


def _place_options(function: "click.decorators.FC") -> "click.decorators.FC":
    for option in (
        click.option("--dir", "place", type=click.Path(path_type=Path), help="Its folder (/var/lib/muster-lab/NAME)."),
        click.option("--name", default="default", show_default=True, help="Which lab; several can be up at once."),
    ):
        function = option(function)
    return function


@lab.command()
@click.option("--nodes", default=2, show_default=True, help="Machines n1, n2, .. that the controller knows.")
@click.option("--unknown", default=0, show_default=True, help="Machines u1, u2, .. that it does not know.")
@click.option(
    "--firmware", default="bios,uefi", show_default=True, help="For one machine after the other, again and again."
)
@click.option("--memory", default="1024", show_default=True, help="MiB, likewise a list.")
@click.option(
    "--nic", default="virtio-net-pci", show_default=True, help="Network card, likewise a list: e1000, e1000e ..."
)
@click.option("--disk", default="none", show_default=True, help="A blank disk: 512m, 2g or none, likewise a list.")
@click.option("--cpus", default=1, show_default=True, help="Processors of each machine.")
@click.option("--image", help="What the profile `default` boots: NAME, NAME:TAG or NAME@VERSION.")
@click.option("--no-power", is_flag=True, help="Leave all machines off.")
@_place_options
def up(
    name: str,
    place: Path | None,
    nodes: int,
    unknown: int,
    firmware: str,
    memory: str,
    nic: str,
    disk: str,
    cpus: int,
    image: str | None,
    no_power: bool,
) -> None:
    """Start a lab and return when its controller answers and its machines are on."""
    from muster.lab import accelerator, lifecycle, plan

    folder = plan.folder_of(name, place)
    machines = plan.plan_machines(
        nodes=nodes,
        unknown=unknown,
        firmware=_words(firmware),
        nic=_words(nic),
        memory=[_mebibytes(word) for word in _words(memory)],
        cpus=cpus,
        disk=[_disk(word) for word in _words(disk)],
    )
    controller = plan.muster_controller(folder / "controller")
    lifecycle.check_host()
    planned = plan.Lab(name, folder, accelerator.choose(), machines, controller)
    lifecycle.up(planned, image=image, power=not no_power)
    click.echo(f"lab {name} is up: {len(machines)} machines ({planned.accelerator})")


@lab.command()
@form_option
@_place_options
def status(form: str, name: str, place: Path | None) -> None:
    """Show each machine: firmware, power, its state as the controller sees it, its console log."""
    from muster.cli import output
    from muster.lab import overview, plan

    rows = overview.rows(plan.read(plan.folder_of(name, place)))
    click.echo(output.listing(rows, COLUMNS, form), nl=False)
    if form == "table" and rows and rows[0]["controller"] == "stopped":
        output.warn("the controller is stopped; muster lab controller start")


@lab.command()
@click.argument("action", type=click.Choice(["stop", "start"]))
@_place_options
def controller(action: str, name: str, place: Path | None) -> None:
    """Stop everything of the lab's controller, or start it again: what do nodes do meanwhile?

    It stays stopped until it is started; the machines run on.
    """
    from muster.lab import lifecycle, plan

    lifecycle.switch_controller(plan.read(plan.folder_of(name, place)), action)


@lab.command()
@click.argument("nodes", nargs=-1, required=True)
@click.argument("action", type=click.Choice(["on", "off", "cycle", "reset"]))
@_place_options
def power(nodes: tuple[str, ...], action: str, name: str, place: Path | None) -> None:
    """Switch machines: NODE... on|off|cycle|reset."""
    from muster.lab import lifecycle, plan

    lifecycle.switch(plan.read(plan.folder_of(name, place)), list(nodes), action)


@lab.command()
@click.argument("node")
@_place_options
def console(node: str, name: str, place: Path | None) -> None:
    """Attach this terminal to a machine's serial console; Ctrl-] ends. All output is also in its console.log."""
    from muster.lab import plan
    from muster.lab.console import attach

    attach(plan.read(plan.folder_of(name, place)), node)


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_place_options
def run(command: tuple[str, ...], name: str, place: Path | None) -> None:
    """Run COMMAND inside the lab: its network, its nodes by name, its controller.

    muster lab run -- ssh root@n1, muster lab run -- muster node list
    """
    from muster.host import process
    from muster.lab import lifecycle, plan

    found = plan.read(plan.folder_of(name, place))
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"  # `muster` is this one
    environment = {"MUSTER_PREFIX": str(found.prefix), "PATH": path}
    process.replace(lifecycle.inside(found, list(command)), env=environment)


@lab.command()
@_place_options
def down(name: str, place: Path | None) -> None:
    """End a lab and remove everything of it; well also when there is none."""
    from muster.lab import lifecycle, plan

    gone = lifecycle.down(plan.folder_of(name, place))
    click.echo(f"lab {name} is gone" if gone else f"no lab {name}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _mebibytes(word: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise RequestError(f"--memory {word}: a number of MiB") from error


def _disk(word: str) -> int | None:
    """MiB of a size with its unit, so that `--disk 2` is not taken for two of anything."""
    if word == "none":
        return None
    number, unit = word[:-1], word[-1].lower()
    if unit not in DISK_UNITS or not number.isascii() or not number.isdigit():
        raise RequestError(f"--disk {word}: a number with m, g or t, or none")
    return int(number) * DISK_UNITS[unit]
