"""Duplicates and dangling references: refused, and all of them named at once."""

import hashlib

import pytest

from muster.controller.objects import apply, delete
from muster.model.errors import ConflictError
from muster.model.world import World
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
