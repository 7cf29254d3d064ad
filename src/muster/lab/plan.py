"""What a lab is to be: its machines and its controller, as frozen facts and as the text in DIR/lab.json."""

import ipaddress
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from muster.model.errors import MusterError, RequestError

Firmware = Literal["bios", "uefi"]
Accelerator = Literal["kvm", "tcg"]

BASE = Path("/var/lib/muster-lab")
NETWORK = ipaddress.ip_network("10.77.0.0/24")
CONTROLLER = "10.77.0.1"
PORT = 9898
FIRST_NODE = 11
POOL = "10.77.0.100-10.77.0.199"
MAX_NODES = 64
CONTROLLER_USER = 64999
"""Numeric id of the controller's unprivileged part; no account of that number has to exist."""

MIN_MEMORY = 32
MAX_DISK = 16 << 20
"""MiB; what ext4 on the host takes as one file (16 TiB with blocks of 4 KiB), as good as any bound against a slip."""

LONGEST_SOCKET = 107
"""A unix socket's path holds 108 bytes with its final zero (unix(7))."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NIC = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*")


@dataclass(frozen=True)
class Machine:
    """One virtual machine. `memory` and `disk` are in MiB; `known` machines are registered with the controller."""

    name: str
    mac: str
    uuid: str
    serial: str
    address: str
    firmware: Firmware
    nic: str
    memory: int
    cpus: int
    known: bool
    disk: int | None = None


@dataclass(frozen=True)
class Controller:
    """The controller's commands, as data: `prepare` runs to its end, then `serve` stays and `socket` answers."""

    prepare: tuple[str, ...]
    serve: tuple[str, ...]
    socket: str


@dataclass(frozen=True)
class Lab:
    """A whole lab. Everything of it lies in `folder`."""

    name: str
    folder: Path
    accelerator: Accelerator
    machines: tuple[Machine, ...]
    controller: Controller | None

    @property
    def socket(self) -> Path:
        return self.folder / "lab.sock"

    @property
    def prefix(self) -> Path:
        """The controller's: configuration, state and run-time of it lie below."""
        return self.folder / "controller"

    @property
    def log(self) -> Path:
        return self.folder / "lab.log"

    def machine_folder(self, machine: str) -> Path:
        return self.folder / "nodes" / machine

    def console(self, machine: str) -> Path:
        return self.machine_folder(machine) / "console.sock"

    def console_log(self, machine: str) -> Path:
        return self.machine_folder(machine) / "console.log"

    def machine(self, name: str) -> Machine:
        """RequestError when the lab has no machine of that name."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        names = " ".join(machine.name for machine in self.machines)
        raise RequestError(f"no node {name!r} in lab {self.name}", hint=f"its nodes: {names}")


def folder_of(name: str, folder: Path | None) -> Path:
    """Where the lab of that name lies; RequestError for a name that is no plain word."""
    if not _NAME.fullmatch(name):
        raise RequestError(f"not a lab name: {name!r}", hint="a-z, 0-9 and -, at most 32 characters")
    return (folder or BASE / name).absolute()


def plan_machines(
    *,
    nodes: int,
    unknown: int,
    firmware: Sequence[str],
    nic: Sequence[str],
    memory: Sequence[int],
    cpus: int,
    disk: Sequence[int | None] = (None,),
) -> tuple[Machine, ...]:
    """Machines n1.. and the unregistered u1..; the lists are gone through again and again, machine by machine.

    RequestError: too many, or a value that cannot be.
    """
    _check_counts(nodes, unknown, cpus)
    _check_lists(firmware, nic, memory, disk)
    kinds = [("n", number, True) for number in range(1, nodes + 1)]
    kinds += [("u", number, False) for number in range(1, unknown + 1)]
    machines = []
    for index, (letter, number, known) in enumerate(kinds):
        tail = f"{0 if known else 1:02x}:{number:02x}"
        mac = f"52:54:00:4d:{tail}"
        machines.append(
            Machine(
                name=f"{letter}{number}",
                mac=mac,
                uuid=f"6d757374-6572-4c61-8062-{mac.replace(':', '')}",
                serial=f"LAB-{letter.upper()}{number}",
                address=str(NETWORK[FIRST_NODE + number - 1]) if known else "",
                firmware=cast(Firmware, firmware[index % len(firmware)]),
                nic=nic[index % len(nic)],
                memory=memory[index % len(memory)],
                cpus=cpus,
                known=known,
                disk=disk[index % len(disk)],
            )
        )
    return tuple(machines)


def muster_controller(prefix: Path) -> Controller:
    """The real controller, with everything of it under `prefix`."""
    muster = (sys.executable, "-m", "muster.cli.main")
    listen, user = f"{CONTROLLER}:{PORT}", str(CONTROLLER_USER)
    return Controller(
        prepare=(*muster, "init", "--prefix", str(prefix), "--listen", listen, "--user", user),
        serve=(*muster, "serve", "--prefix", str(prefix)),
        socket=str(prefix / "run/muster/api.sock"),
    )


def check_paths(lab: Lab) -> None:
    """RequestError when a socket of the lab would get a path longer than the kernel takes."""
    paths = [str(lab.socket), *(str(lab.console(machine.name)) for machine in lab.machines)]
    if lab.controller is not None:
        paths.append(lab.controller.socket)
    longest = max(paths, key=lambda path: len(path.encode()))
    if len(longest.encode()) > LONGEST_SOCKET:
        raise RequestError(f"path too long for a socket: {longest}", hint="choose a shorter --dir or --name")


def to_text(lab: Lab) -> str:
    return json.dumps({**asdict(lab), "folder": str(lab.folder)}, indent=1) + "\n"


def from_text(text: str, where: str) -> Lab:
    """MusterError when the text is not one that `to_text` made."""
    try:
        fields: dict[str, Any] = json.loads(text)
        controller = fields["controller"]
        return Lab(
            name=fields["name"],
            folder=Path(fields["folder"]),
            accelerator=fields["accelerator"],
            machines=tuple(Machine(**machine) for machine in fields["machines"]),
            controller=controller
            and Controller(tuple(controller["prepare"]), tuple(controller["serve"]), controller["socket"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise MusterError(f"damaged lab description: {error}", where=where, hint="muster lab down") from error


def read(folder: Path) -> Lab:
    """The lab that lies in `folder`; RequestError when there is none."""
    path = folder / "lab.json"
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise RequestError("no lab here", where=str(folder), hint="muster lab up") from error
    except OSError as error:
        raise MusterError(f"cannot read: {error.strerror}", where=str(path)) from error
    return from_text(text, str(path))


def _check_counts(nodes: int, unknown: int, cpus: int) -> None:
    for option, count in (("--nodes", nodes), ("--unknown", unknown)):
        if not 0 <= count <= MAX_NODES:
            raise RequestError(f"{option} {count}: 0 to {MAX_NODES}")
    if not 1 <= cpus <= MAX_NODES:
        raise RequestError(f"--cpus {cpus}: 1 to {MAX_NODES}")


def _check_lists(
    firmware: Sequence[str], nic: Sequence[str], memory: Sequence[int], disk: Sequence[int | None]
) -> None:
    for kind in firmware:
        if kind not in ("bios", "uefi"):
            raise RequestError(f"--firmware {kind}: neither bios nor uefi")
    for model in nic:
        if not _NIC.fullmatch(model):
            raise RequestError(f"--nic {model}: not a device name of QEMU", hint="qemu-system-x86_64 -device help")
    for size in memory:
        if size < MIN_MEMORY:
            raise RequestError(f"--memory {size}: in MiB, at least {MIN_MEMORY}")
    for room in disk:
        if room is not None and not 1 <= room <= MAX_DISK:
            raise RequestError(f"--disk {room}m: 1m to {MAX_DISK}m")
    if not (firmware and nic and memory and disk):
        raise RequestError("--firmware, --nic, --memory and --disk need at least one value each")
