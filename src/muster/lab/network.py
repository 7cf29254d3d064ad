"""The lab's one network segment: loopback, a bridge with the controller's address, a tap for each machine.

All of it lies in the lab's own network namespace and goes with it.
"""

from pathlib import Path

from muster.host import process
from muster.lab.plan import CONTROLLER, NETWORK, Machine

BRIDGE = "br0"
HOSTS = Path("/etc/hosts")
TIME_LIMIT = 10.0


def tap_of(machine: Machine) -> str:
    return f"tap-{machine.name}"


def commands(machines: tuple[Machine, ...]) -> list[list[str]]:
    """The commands that make the segment, in order. A bridge without STP forwards at once."""
    steps = [
        "link set lo up",
        f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set {BRIDGE} up",
        f"address add {CONTROLLER}/{NETWORK.prefixlen} dev {BRIDGE}",
    ]
    for machine in machines:
        tap = tap_of(machine)
        steps += [f"tuntap add {tap} mode tap", f"link set {tap} master {BRIDGE} addrgenmode none up"]
    return [["ip", *step.split()] for step in steps]


def hosts(machines: tuple[Machine, ...], before: str) -> str:
    """The host's own hosts file with the lab's names behind it."""
    named = [("controller", CONTROLLER), *((machine.name, machine.address) for machine in machines if machine.known)]
    return before.rstrip("\n") + "\n" + "".join(f"{address}\t{name}\n" for name, address in named)


def name_machines(machines: tuple[Machine, ...], own: Path) -> None:
    """Inside the lab `n1` is n1's address: /etc/hosts is covered by the file `own`, in this mount namespace only."""
    if HOSTS.exists():
        own.write_text(hosts(machines, HOSTS.read_text()))
        process.run(["mount", "--bind", own, HOSTS], timeout=TIME_LIMIT)


def bring_up(machines: tuple[Machine, ...]) -> None:
    """Make the segment in this namespace; CommandError when one step fails."""
    for command in commands(machines):
        process.run(command, timeout=TIME_LIMIT)
