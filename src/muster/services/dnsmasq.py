"""dnsmasq as DHCP and TFTP server in `own` mode: its two files rendered from networks and hosts; no I/O here.

Known nodes are answered from the hosts file alone. dnsmasq keeps no lease file (that costs 5 to 10 times
its rate), so leases live in its memory only and are forgotten by a restart; being authoritative it then
confirms whatever a client renews. It does no ping before an offer: that takes 3 s and holds up every other
client; the price is that an unknown machine may, after a restart, be offered an address that another
unknown machine still uses, until both have asked again.

The hosts file is renamed into place and read again at SIGHUP. That is enough for added hosts. Memory of a
lease outlives its host line, and dnsmasq gives nobody an address that it believes leased to another
machine: where that can matter, `needs_restart` says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from muster.model import urls
from muster.model.errors import ConflictError, RequestError
from muster.services import loaders

CONFIG = "dnsmasq.conf"
HOSTS = "hosts"
"""The names of the two files in `Paths.dnsmasq`."""

# dnsmasq's own limits are 1000 leases and 50 transfers.
LEASES = 200_000
TRANSFERS = 2_000

# Client system architecture, option 93: RFC 4578 section 2.1 and the IANA list it became.
BIOS_ARCHITECTURES = (0,)
UEFI_ARCHITECTURES = (7, 9)
UEFI_HTTP_ARCHITECTURES = (16,)


@dataclass(frozen=True)
class DhcpNetwork:
    """One subnet that we answer for.

    `interface` is the controller's own interface in it, None when a relay forwards from there; `server` is
    the controller's address as its nodes reach it. `pool` (first, last) is for unknown machines: None leaves
    them without an answer. `lease` is in seconds.
    """

    name: str
    interface: str | None
    subnet: IPv4Network
    server: IPv4Address
    router: IPv4Address | None = None
    nameservers: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    pool: tuple[IPv4Address, IPv4Address] | None = None
    lease: int = 3600


@dataclass(frozen=True)
class DhcpHost:
    """A known node's interface: any of `macs` gets `address`. MACs in lower case with colons."""

    macs: tuple[str, ...]
    address: IPv4Address
    name: str


def render_config(networks: Sequence[DhcpNetwork], port: int, folder: Path, tftp: Path) -> str:
    """dnsmasq.conf for exactly these networks; `port` serves HTTP on each network's `server` address.

    `folder` holds the hosts file. Raises RequestError when there is no network, or a pool leaves its subnet.
    """
    if not networks:
        raise RequestError("no network to answer DHCP on", hint="stop dnsmasq instead")
    lines = [*_head(folder, tftp), *_listening(networks), *_loader_tags()]
    for network in sorted(networks, key=lambda each: each.name):
        lines += ["", *_network(network), *_boot_files(network, port)]
    return "\n".join(lines) + "\n"


def render_hosts(hosts: Sequence[DhcpHost]) -> str:
    """The hosts file, sorted by address. Raises ConflictError when two hosts share a MAC or an address."""
    owner: dict[str, DhcpHost] = {}
    for host in hosts:
        for key in (*host.macs, str(host.address)):
            other = owner.setdefault(key, host)
            if other is not host:
                raise ConflictError(f"{key} belongs to both {other.name} and {host.name}")
    ordered = sorted((host for host in hosts if host.macs), key=lambda host: host.address)
    return "".join(f"{','.join(sorted(host.macs))},{host.address},{host.name}\n" for host in ordered)


def needs_restart(
    before: Sequence[DhcpHost], after: Sequence[DhcpHost], pools: Sequence[tuple[IPv4Address, IPv4Address]] = ()
) -> bool:
    """Whether SIGHUP is not enough to go from one hosts file to the next; `pools` are the networks' pools.

    True when a machine lost an address it may hold a lease on, so that the address is free for any later
    host, and when an address is new and from a pool, so that an unknown machine may hold it.
    A change of dnsmasq.conf always needs a restart.
    """
    held, given = set(_leases(before)), set(_leases(after))
    fresh = {address for _, address in given} - {address for _, address in held}
    return bool(held - given) or any(first <= address <= last for address in fresh for first, last in pools)


def _leases(hosts: Sequence[DhcpHost]) -> Iterator[tuple[str, IPv4Address]]:
    return ((mac, host.address) for host in hosts for mac in host.macs)


def _head(folder: Path, tftp: Path) -> list[str]:
    return [
        "# Written by Muster from its networks. No DNS, no lease file, no pid file; log to standard error.",
        "port=0",
        "pid-file=",
        "log-facility=-",
        "log-async=100",
        "no-ping",
        "leasefile-ro",
        f"dhcp-lease-max={LEASES}",
        "dhcp-authoritative",
        "dhcp-ignore-names",
        f"dhcp-hostsfile={folder}/{HOSTS}",
        "enable-tftp",
        f"tftp-root={tftp}",
        f"tftp-max={TRANSFERS}",
    ]


def _listening(networks: Sequence[DhcpNetwork]) -> list[str]:
    interfaces = sorted({network.interface for network in networks if network.interface})
    relayed = sorted({network.server for network in networks if not network.interface})
    return [
        "bind-interfaces",
        "except-interface=lo",
        *(f"interface={name}" for name in interfaces),
        *(f"listen-address={address}" for address in relayed),
    ]


def _loader_tags() -> list[str]:
    """Which loader is asking. iPXE names itself twice: user class (option 77) and its own option 175."""
    families = {"bios": BIOS_ARCHITECTURES, "uefi": UEFI_ARCHITECTURES, "uefi-http": UEFI_HTTP_ARCHITECTURES}
    return [
        "dhcp-userclass=set:ipxe,iPXE",
        "dhcp-match=set:ipxe,175",
        # iPXE waits 2 to 3 s for a ProxyDHCP answer unless told that none will come (its option 175, sub-option 176).
        "dhcp-option-force=tag:ipxe,encap:175,176,1b",
        *(
            f"dhcp-match=set:{tag},option:client-arch,{number}"
            for tag, numbers in families.items()
            for number in numbers
        ),
    ]


def _network(network: DhcpNetwork) -> list[str]:
    tag, mask = network.name, network.subnet.netmask
    if network.pool is None:
        span = f"{network.subnet.network_address},static"
    else:
        first, last = network.pool
        if first > last or first not in network.subnet or last not in network.subnet:
            raise RequestError(f"the pool {first}-{last} is not inside {network.subnet}", where=f"network {tag}")
        span = f"{first},{last}"
    nameservers = "".join(f",{address}" for address in network.nameservers)
    return [
        f"dhcp-range=set:{tag},{span},{mask},{network.lease}",
        # An option without a value keeps dnsmasq from naming itself.
        f"dhcp-option=tag:{tag},option:router" + (f",{network.router}" if network.router else ""),
        f"dhcp-option=tag:{tag},option:dns-server{nameservers}",
        *([f"dhcp-option=tag:{tag},option:domain-name,{network.domain}"] if network.domain else []),
    ]


def _boot_files(network: DhcpNetwork, port: int) -> list[str]:
    """The loader by kind of client.

    UEFI HTTP boot takes an offer only with HTTPClient in option 60 (UEFI 2.10, section 24.7).
    """
    tag, server = network.name, network.server
    url = f"http://{server}:{port}{urls.LOADER_FILES}/{loaders.UEFI}"
    return [
        f"dhcp-boot=tag:{tag},tag:ipxe,{loaders.SCRIPT},,{server}",
        f"dhcp-boot=tag:{tag},tag:bios,tag:!ipxe,{loaders.BIOS},,{server}",
        f"dhcp-boot=tag:{tag},tag:uefi,tag:!ipxe,{loaders.UEFI},,{server}",
        f"dhcp-boot=tag:{tag},tag:uefi-http,tag:!ipxe,{url},,{server}",
        f"dhcp-option-force=tag:{tag},tag:uefi-http,tag:!ipxe,60,HTTPClient",
    ]
