"""What the NFS service is to export follows from networks, roots and open trees."""

from ipaddress import IPv4Network

import pytest

from muster.controller import images
from muster.controller.nfs import wanted
from muster.model.world import World
from muster.services.nfs import Wanted
from tests.cluster import NETWORK, node, published, world_of

PROFILE: dict[str, object] = {"kind": "profile", "name": "p"}


@pytest.mark.parametrize("user", [{**PROFILE, "root": "nfs"}, {**PROFILE, "root": "tmpfs"}, node("n9", root="nfs")])
def test_one_profile_or_node_is_enough(user: dict[str, object]) -> None:
    assert wanted(world_of(NETWORK, user)) == Wanted((IPv4Network("10.77.0.0/24"),))


@pytest.mark.parametrize(
    "objects", [(), (NETWORK,), ({**PROFILE, "root": "nfs"},), (NETWORK, {**PROFILE, "root": "ram"})]
)
def test_nothing_without_a_user_or_a_network(objects: tuple[dict[str, object], ...]) -> None:
    assert wanted(world_of(*objects)) is None


def test_open_trees_are_named() -> None:
    world = world_of(NETWORK, {**PROFILE, "root": "nfs"}, based_on=published(World()))
    assert wanted(world) == Wanted((IPv4Network("10.77.0.0/24"),))
    _, changes = images.live(world, "debian", on=True)
    assert wanted(world.with_changes(changes, 9)) == Wanted((IPv4Network("10.77.0.0/24"),), ("debian",))
