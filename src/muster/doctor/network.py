"""Interfaces, addresses, MTU and ports, as the kernel shows them."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from muster.doctor.finding import Finding, Patient, ok, problem, warning
from muster.host import process
from muster.model.objects import Network, Node
from muster.services import dnsmasq, ganesha
from muster.services.child import NGINX_CONFIG

DHCP, TFTP = 67, 69
ETHERNET_MTU = 1500
_LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp (proc(5))."""


@dataclass(frozen=True)
class Link:
    """A network interface: `up` when it can carry packets, its addresses without prefix length, MTU in bytes."""

    up: bool
    addresses: frozenset[str]
    mtu: int


@dataclass(frozen=True)
class Holder:
    """A process that has a port. `command` is its command line."""

    pid: int
    command: str


def links() -> dict[str, Link]:
    """Every interface of this network namespace, by name."""
    found = json.loads(process.run(["ip", "-j", "address", "show"], timeout=5).text)
    return {
        str(each["ifname"]): Link(
            up="UP" in each["flags"] and each["operstate"] in ("UP", "UNKNOWN"),
            addresses=frozenset(str(a["local"]) for a in each["addr_info"] if "local" in a),
            mtu=int(each["mtu"]),
        )
        for each in found
        if "ifname" in each
    }


def interfaces(patient: Patient) -> Iterator[Finding]:
    """What muster.yaml and the networks name is there, is up, and has its address."""
    present = links()
    ours = {address for link in present.values() for address in link.addresses}
    for listen in patient.settings.listen if patient.settings else ():
        address = ipaddress.ip_address(listen.rpartition(":")[0].strip("[]"))
        if not address.is_unspecified and str(address) not in ours:
            yield problem(
                f"{patient.paths.config}: listen {listen}",
                f"no interface of this machine has {address}",
                f"ip address add {address}/PREFIX dev INTERFACE, for good in the network configuration",
            )
    for network in patient.networks:
        yield _of_network(network, present.get(network.interface))


def _of_network(network: Network, link: Link | None) -> Finding:
    where = f"network {network.name}: {network.interface}"
    prefix = network.subnet.partition("/")[2]
    if link is None:
        return problem(where, "there is no such interface", f"muster network set {network.name} interface=NAME")
    if not link.up:
        return problem(where, "it is down or has no cable", f"ip link set {network.interface} up; look at the switch")
    if network.address not in link.addresses:
        has = ", ".join(sorted(link.addresses)) or "none"
        hint = f"ip address add {network.address}/{prefix} dev {network.interface}"
        return problem(where, f"it does not have the address {network.address} but {has}", hint)
    return ok(where, f"up, {network.address}")


def mtu(patient: Patient) -> Iterator[Finding]:
    """Firmware and loaders talk in frames of 1500 bytes; jumbo frames need both ends."""
    present = links()
    for network in patient.networks:
        if (link := present.get(network.interface)) is None:
            continue
        where = f"network {network.name}: {network.interface}"
        if link.mtu < ETHERNET_MTU:
            yield problem(
                where,
                f"MTU {link.mtu} is less than the {ETHERNET_MTU} that firmware assumes",
                f"ip link set {network.interface} mtu {ETHERNET_MTU}",
            )
        larger = sorted(name for name, size in _mtu_of_nodes(patient, network).items() if size > link.mtu)
        if larger:
            yield warning(
                where,
                f"MTU {link.mtu}, and nodes send larger frames: {some(larger)}",
                f"ip link set {network.interface} mtu 9000 and the same at the switch, or lower the nodes' mtu",
            )


def _mtu_of_nodes(patient: Patient, network: Network) -> dict[str, int]:
    """MTUs that nodes declare for their interface in this network."""
    subnet = ipaddress.ip_network(network.subnet)
    found = {}
    for node in patient.world.all(Node) if patient.world else ():
        for each in node.interfaces:
            if each.mtu and each.address and ipaddress.ip_address(each.address.partition("/")[0]) in subnet:
                found[node.name] = each.mtu
    return found


def ports(patient: Patient) -> Iterator[Finding]:
    """Nobody else has a port that we need."""
    if patient.settings is None:
        return
    wanted = [("tcp", int(patient.settings.port)), ("tcp", patient.settings.app_port)]
    wanted += [("udp", DHCP), ("udp", TFTP)] if patient.leased else []
    for protocol, port in wanted:
        yield holder_of(patient, protocol, port)


def holder_of(patient: Patient, protocol: str, port: int) -> Finding:
    """Whether somebody else has a port that we need."""
    held = holders(protocol, port)
    others = [holder for holder in held if not is_ours(patient, holder)]
    if not others:
        return ok(f"{protocol} {port}", "ours" if held else "free")
    who = "; ".join(f"{h.command[:100] or 'a process'} (process {h.pid})" for h in others)
    say = warning if len(others) < len(held) else problem
    return say(f"{protocol} {port}", f"held by {who}", f"stop it (systemctl status {others[0].pid} names its unit)")


def is_ours(patient: Patient, holder: Holder) -> bool:
    """By the files that its command line names: those are of this prefix only."""
    words = holder.command.split()
    app = "muster.daemon" in words and words[-2:] == ["--prefix", str(patient.paths.prefix)]
    config = patient.paths.dnsmasq / dnsmasq.CONFIG
    ours = [str(patient.paths.run / NGINX_CONFIG), f"--conf-file={config}"]
    for address in ganesha.addresses(patient.settings.listen) if patient.settings else ():
        ours.append(str(ganesha.config_file(patient.paths, address)))
    return app or any(word in words for word in ours)


def holders(protocol: str, port: int) -> list[Holder]:
    """The processes with a socket bound to a port, on any address; one line for a program and its workers."""
    inodes = set()
    for table in (protocol, f"{protocol}6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.is_file() else ():
            words = line.split()
            listening = protocol == "udp" or words[3] == _LISTENING
            if listening and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(words[9])
    if not inodes:
        return []
    return _owners(inodes) or [Holder(0, "a process that only root may see")]


def _owners(inodes: set[str]) -> list[Holder]:
    found: dict[str, Holder] = {}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and wanted & set(_descriptors(folder)):
            command = _command(folder)
            if not command.startswith("nginx: worker"):
                found.setdefault(command, Holder(int(folder.name), command))
    return list(found.values())


def _descriptors(folder: Path) -> Iterator[str]:
    try:
        for each in (folder / "fd").iterdir():
            yield str(each.readlink())
    except OSError:  # ended meanwhile, or another user's
        return


def _command(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def own_addresses(present: Mapping[str, Link]) -> frozenset[str]:
    return frozenset(address for link in present.values() for address in link.addresses)


def some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
