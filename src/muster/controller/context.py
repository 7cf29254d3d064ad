"""What the controller's functions work with, put together once by the composition root (daemon.py)."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from muster.boot.roots import NfsServer, Supplies
from muster.controller.boots import Boots
from muster.controller.next_boot import NextBoots
from muster.controller.node_context import ClusterMemory
from muster.controller.orders import Orders
from muster.controller.update_limit import UpdateLimit
from muster.host.clock import Clock
from muster.model.objects import Blob
from muster.model.world import World
from muster.overlays.library import Overlays
from muster.store.blobs import Blobs
from muster.store.database import Store


@dataclass(frozen=True)
class Context:
    """Handed as the first argument to every controller function that needs more than the world."""

    store: Store
    blobs: Blobs
    boots: Boots
    overlays: Overlays
    clock: Clock
    token_key: bytes
    node_segment: Blob
    site: str
    """The name of the cluster; it makes machine ids differ between clusters."""
    kits: Mapping[str, Blob] = field(default_factory=dict)
    """Programs that some roots need, by the names of model/kits.py; what could not be made is missing."""
    nfs: NfsServer | None = None
    no_nfs: str = ""
    """Why there is none."""
    cluster: ClusterMemory = field(default_factory=ClusterMemory)
    updates: UpdateLimit = field(default_factory=UpdateLimit)
    next_boots: NextBoots = field(default_factory=NextBoots)
    orders: Orders = field(default_factory=lambda: Orders(lambda: secrets.token_hex(8)))

    @property
    def world(self) -> World:
        return self.store.world

    @property
    def supplies(self) -> Supplies:
        """What roots need beside the image."""
        return Supplies(self.nfs, self.kits, self.no_nfs)
