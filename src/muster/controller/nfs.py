"""What the NFS service is to export, as a pure function of the world."""

from ipaddress import IPv4Network

from muster.model.objects import Image, Network, Node, Profile
from muster.model.world import World
from muster.services.nfs import Wanted

ROOTS = ("nfs", "tmpfs")
"""The roots that need the service."""


def wanted(world: World) -> Wanted | None:
    """The declared networks and the images whose trees may be mounted; None while no node or profile needs it."""
    networks = tuple(sorted({IPv4Network(network.subnet) for network in world.all(Network)}))
    if not networks or not is_used(world):
        return None
    return Wanted(networks, tuple(sorted(image.name for image in world.all(Image) if image.live)))


def is_used(world: World) -> bool:
    """Whether a profile or a node has a root that needs the service."""
    return any(profile.root in ROOTS for profile in world.all(Profile)) or any(
        node.root in ROOTS for node in world.all(Node)
    )
