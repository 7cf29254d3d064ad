"""What DHCP must answer, as a pure function of the world: the networks we lease on and the hosts we know."""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

from muster.model.objects import Network, Node
from muster.model.world import World
from muster.services.dhcp_keeper import Tables
from muster.services.dnsmasq import DhcpHost, DhcpNetwork


def tables(world: World) -> Tables:
    """The networks in mode `own`, and every interface with MAC and address that lies on one of them."""
    networks = tuple(_network(network) for network in world.all(Network) if network.mode == "own")
    return Tables(networks, tuple(_hosts(world, networks)))


class Known:
    """The tables of the newest world, made anew only when a network, or a node's machine or interfaces, changed."""

    def __init__(self, world: Callable[[], World]) -> None:
        self._world = world
        self._of: World | None = None
        self._tables = Tables((), ())

    def tables(self) -> Tables:
        """The same object as before while nothing that DHCP answers changed."""
        world, before = self._world(), self._of
        if before is None or world.by_mac is not before.by_mac or _all_networks(world) != _all_networks(before):
            self._tables = tables(world)
        self._of = world
        return self._tables


def _all_networks(world: World) -> list[Network]:
    return list(world.all(Network))


def _network(network: Network) -> DhcpNetwork:
    ends = tuple(IPv4Address(end) for end in network.pool.split("-")) if network.pool else ()
    return DhcpNetwork(
        name=network.name,
        interface=network.interface,
        subnet=IPv4Network(network.subnet),
        server=IPv4Address(network.address),
        router=IPv4Address(network.router) if network.router else None,
        nameservers=tuple(IPv4Address(server) for server in network.nameservers),
        domain=network.domain,
        pool=(ends[0], ends[1]) if ends else None,
        lease=network.lease,
    )


def _hosts(world: World, networks: tuple[DhcpNetwork, ...]) -> Iterator[DhcpHost]:
    for node in world.all(Node):
        for interface in node.interfaces:
            if interface.mac is None or interface.address is None:
                continue
            address = IPv4Address(interface.address.partition("/")[0])
            if any(address in network.subnet for network in networks):
                yield DhcpHost(macs=(interface.mac,), address=address, name=node.name)
