"""What overlay templates may see of a node, its cluster and its image; secrets are not among it."""

import hashlib
import ipaddress
import threading
from collections.abc import Sequence

from muster.boot.decide import Run
from muster.model.objects import Interface, Network, Node, Version
from muster.model.world import World
from muster.overlays.library import ClusterFacts


class ClusterMemory:
    """The facts of the cluster as of the last world that was asked about: one boot storm asks thousands of times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._world: World | None = None
        self._facts: dict[tuple[str | None, str | None], ClusterFacts] = {}
        self._networks: tuple[Network, ...] = ()

    def networks(self, world: World) -> tuple[Network, ...]:
        """All networks; to look for them costs as much as all nodes."""
        with self._lock:
            self._look_at(world)
            return self._networks

    def facts(self, world: World, site: str, network: Network | None, domain: str | None) -> ClusterFacts:
        """What nodes on this network, with this domain, see of the cluster."""
        key = (network.name if network else None, domain)
        with self._lock:
            self._look_at(world)
            if key not in self._facts:
                self._facts[key] = ClusterFacts.of(_cluster(world, site, network, domain))
            return self._facts[key]

    def _look_at(self, world: World) -> None:
        if self._world is not world:
            self._world, self._facts, self._networks = world, {}, tuple(world.all(Network))


def template_context(
    world: World, site: str, run: Run, bootif: str | None, memory: ClusterMemory
) -> tuple[dict[str, object], ClusterFacts]:
    """Plain JSON-able values, and apart from them the cluster's, which all nodes share.

    `bootif` is the MAC of the interface that the machine booted from.
    """
    network, domain = place_of(world, run, memory)
    settings = run.effective.settings
    facts = memory.facts(world, site, network, domain)
    context: dict[str, object] = {
        "node": {
            "name": run.node.name,
            "fqdn": _fqdn(run.node.name, domain),
            "domain": domain,
            "machine_id": machine_id(site, run.node.name),
            "interfaces": [_interface(i, network, bootif) for i in run.node.interfaces],
            "labels": dict(settings.labels or {}),
            "nameservers": list(settings.nameservers or (network.nameservers if network else ())),
            "time_servers": list(settings.time_servers or ()),
            "timezone": settings.timezone or "UTC",
            "authorized_keys": list(settings.authorized_keys or ()),
            "serial_console": settings.serial_console.model_dump() if settings.serial_console else None,
        },
        "cluster": facts.data,
        "image": image_facts(run.version),
    }
    return context, facts


def image_facts(version: Version) -> dict[str, object]:
    """What templates see of an image."""
    return {
        "name": version.image,
        "version": version.name,
        "distribution": version.distribution,
        "architecture": version.architecture,
        "features": version.features.model_dump(),
    }


def place_of(world: World, run: Run, memory: ClusterMemory) -> tuple[Network | None, str | None]:
    """The network of a node and its domain, on which hangs what it sees of the cluster."""
    network = _network_of(memory.networks(world), run.node)
    return network, run.effective.settings.domain or (network.domain if network else None)


def machine_id(site: str, node: str) -> str:
    """machine-id(5): 32 hex, the same at every boot of a node, different in another cluster."""
    return hashlib.sha256(f"muster machine-id\0{site}\0{node}".encode()).hexdigest()[:32]


def _cluster(world: World, site: str, network: Network | None, domain: str | None) -> dict[str, object]:
    nodes = [
        {"name": node.name, "fqdn": _fqdn(node.name, domain), "addresses": addresses}
        for node in world.all(Node)
        if (addresses := [i.address.partition("/")[0] for i in node.interfaces if i.address])
    ]
    controller = {"name": "controller", "address": network.address if network else None}
    return {"name": site, "controller": controller, "nodes": nodes}


def _interface(interface: Interface, network: Network | None, bootif: str | None) -> dict[str, object]:
    boots = interface.mac is not None and interface.mac == bootif
    on_network = network is not None and _inside(interface, network)
    gateway = interface.gateway or (network.router if network and on_network else None)
    return {
        "name": interface.name,
        "mac": interface.mac,
        "address": interface.address,
        "dhcp": interface.dhcp if interface.dhcp is not None else (boots and interface.address is None),
        "gateway": gateway,
        "mtu": interface.mtu,
        "boot": boots,
    }


def _network_of(networks: Sequence[Network], node: Node) -> Network | None:
    """The network on which the node has an address; else the only one there is."""
    for network in networks:
        if any(_inside(interface, network) for interface in node.interfaces):
            return network
    return networks[0] if len(networks) == 1 else None


def _inside(interface: Interface, network: Network) -> bool:
    if interface.address is None:
        return False
    return ipaddress.IPv4Interface(interface.address).ip in ipaddress.IPv4Network(network.subnet)


def _fqdn(name: str, domain: str | None) -> str:
    return f"{name}.{domain}" if domain else name
