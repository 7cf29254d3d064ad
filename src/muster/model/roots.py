"""What roots need beside their image."""

from muster.model.objects import Node, Profile
from muster.model.world import World

NFS_ROOTS = ("nfs", "tmpfs")
"""The roots whose nodes mount from the controller."""


def needs_nfs(world: World) -> bool:
    """Whether a profile or a node has a root that needs the controller's NFS service."""
    return any(profile.root in NFS_ROOTS for profile in world.all(Profile)) or any(
        node.root in NFS_ROOTS for node in world.all(Node)
    )
