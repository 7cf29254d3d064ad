"""Duplicates and dangling references: refused, and all of them named at once."""

import hashlib

import pytest

from muster.controller.objects import apply, delete
from muster.model.check import refuse_conflicts
from muster.model.documents import parse
from muster.model.errors import ConflictError
from muster.model.objects import Image
from muster.model.world import Change, World
from tests.cluster import MAC, NETWORK, PROFILE, node, published, world_of

BASE = published(world_of(NETWORK))


def refusal(world: World, *documents: dict[str, object]) -> str:
    with pytest.raises(ConflictError) as caught:
        apply(world, documents)
    return caught.value.message


def test_all_problems_are_named_at_once() -> None:
    message = refusal(
        BASE,
        node("n1", profiles=["nowhere"], image="fedora"),
        node("x1", interfaces=[{"name": "a", "mac": MAC["n1"], "address": "10.77.0.11/24"}], image="debian:old"),
        node("x2", interfaces=[{"name": "a", "address": "10.77.0.1/24"}]),
        node("x3", interfaces=[{"name": "a", "address": "10.77.0.210/24"}]),
        node("x4", machine=node("n1")["machine"]),
        {**NETWORK, "name": "twin", "subnet": "10.77.0.0/16"},
    )
    for part in (
        "no profile 'nowhere'",
        "no image 'fedora'",
        "no tag 'old'",
        f"MAC {MAC['n1']} belongs to several nodes: n1, x1",
        "address 10.77.0.11 belongs to several",
        "machine",
        "n1, x4",
        "x2: interfaces.0.address: 10.77.0.1 is the controller's own",
        "x3: interfaces.0.address: 10.77.0.210 lies in the pool",
        "networks lab and twin overlap",
    ):
        assert part in message, part


def test_uuids_in_two_byte_orders_are_a_duplicate() -> None:
    one, two = "33221100-5544-7766-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"
    assert "x1, x2" in refusal(BASE, node("x1", machine={"uuid": one}), node("x2", machine={"uuid": two}))


def test_the_same_short_machine_id_is_no_duplicate() -> None:
    pair = same_short_id()
    _, changes = apply(BASE, [node(f"x{i}", machine={"board_serial": s}) for i, s in enumerate(pair)])
    assert len(changes) == 2


def same_short_id() -> tuple[str, str]:
    """Two serials whose fingerprints begin with the same 8 hex digits."""
    seen: dict[bytes, str] = {}
    for i in range(1_000_000):
        serial = f"S{i:07d}"
        short = hashlib.sha256(f"board\0{serial}\0".encode()).digest()[:4]
        if short in seen:
            return seen[short], serial
        seen[short] = serial
    raise AssertionError


def test_what_is_used_is_not_removed() -> None:
    world = world_of({**NETWORK, "discovery_image": "debian"}, PROFILE, node("n1"), node("n2"), based_on=BASE)
    with pytest.raises(ConflictError, match="profile compute: used by node n1, node n2"):
        delete(world, "profile", "compute")


def test_a_clash_with_a_node_that_is_not_touched() -> None:
    world = world_of(PROFILE, node("n1"), node("n2"), based_on=BASE)
    message = refusal(world, node("x1", interfaces=[{"name": "a", "mac": MAC["n2"], "address": "10.77.0.11/24"}]))
    assert f"MAC {MAC['n2']} belongs to several nodes: n2, x1" in message
    assert "address 10.77.0.11 belongs to several nodes: n1, x1" in message
    assert "n1, x1" in refusal(world, node("x1", machine=node("n1")["machine"]))


def test_what_one_node_gives_up_another_may_take_in_the_same_change() -> None:
    world = world_of(PROFILE, node("n1"), node("n2"), based_on=BASE)
    swapped = [
        {**node("n1"), "machine": node("n2")["machine"], "interfaces": node("n2")["interfaces"]},
        {**node("n2"), "machine": node("n1")["machine"], "interfaces": node("n1")["interfaces"]},
    ]
    assert len(apply(world, swapped)[1]) == 2
    assert "n1, n2" in refusal(world, swapped[0])


def test_a_network_may_not_move_onto_its_nodes() -> None:
    world = world_of(PROFILE, node("n1"), node("n2"), based_on=BASE)
    message = refusal(world, {**NETWORK, "address": "10.77.0.11", "pool": "10.77.0.12-10.77.0.20"})
    assert "n1: 10.77.0.11 is the controller's own" in message and "n2: 10.77.0.12 lies in the pool" in message


LIVE_IMAGE = {"kind": "image", "name": "debian", "tags": {}, "live": True}


def live_world(*documents: dict[str, object]) -> World:
    """One whose image `debian` may be booted as it stands."""
    tags = next(BASE.all(Image)).tags
    return world_of({**LIVE_IMAGE, "tags": tags}, *documents, based_on=BASE)


def test_a_tree_is_named_only_once_nodes_may_boot_it() -> None:
    live = node("x1", image="debian@live", root="nfs")
    assert "x1: image: nodes may not boot the tree of image debian" in refusal(BASE, live)
    assert len(apply(BASE, [live], missing_images=True)[1]) == 1
    assert len(apply(live_world(), [live])[1]) == 1


@pytest.mark.parametrize("root", [None, "ram", "tmpfs"])
def test_a_tree_is_had_by_nfs_only(root: str | None) -> None:
    message = refusal(live_world(), node("x1", image="debian@live", root=root))
    assert f"x1: root: debian@live needs root nfs, not {root or 'ram'}" in message


def test_a_profile_may_name_a_tree_when_its_nodes_have_nfs() -> None:
    tree = {**PROFILE, "image": "debian@live"}
    world = live_world(PROFILE, node("x1", profiles=["compute"], root="nfs"), node("x2", profiles=["compute"]))
    assert "profile compute: root: node x2: debian@live needs root nfs, not ram" in refusal(world, tree)
    assert len(apply(world, [tree, node("x2", profiles=["compute"], root="nfs")])[1]) == 2
    assert len(apply(world, [{**tree, "root": "nfs"}])[1]) == 1


def test_the_default_profile_takes_nfs_from_no_tree() -> None:
    default: dict[str, object] = {"kind": "profile", "name": "default", "root": "nfs"}
    world = live_world(default, node("x1", image="debian@live"), node("x2"))
    assert "profile default: root: node x1: debian@live needs root nfs" in refusal(world, {**default, "root": "ram"})


def test_what_was_wrong_before_stops_no_other_change() -> None:
    broken = world_of(PROFILE, node("x1", image="debian"), based_on=live_world())
    nodes = [parse(node("x1", image="debian@live", **more)) for more in ({}, {"timezone": "Europe/Berlin"})]
    broken = broken.with_changes([Change("node", "x1", None, nodes[0])], 9)
    assert refuse_conflicts(broken, [Change("node", "x1", nodes[0], nodes[1])]) is None


def test_a_tree_that_a_node_boots_stays() -> None:
    world = live_world(node("x1", image="debian@live", root="nfs"))
    off = {**LIVE_IMAGE, "tags": next(world.all(Image)).tags, "live": False}
    assert "debian@live would go, but is used by node x1" in refusal(world, off)
