"""What the NFS service is to export, as a pure function of the world."""

from ipaddress import IPv4Network

from muster.model.objects import Image, Network
from muster.model.roots import needs_nfs
from muster.model.world import World
from muster.services.nfs import Wanted


def wanted(world: World) -> Wanted | None:
    """The declared networks and the images whose trees may be mounted; None while no node or profile needs it."""
    networks = tuple(sorted({IPv4Network(network.subnet) for network in world.all(Network)}))
    if not networks or not needs_nfs(world):
        return None
    return Wanted(networks, tuple(sorted(image.name for image in world.all(Image) if image.live)))
