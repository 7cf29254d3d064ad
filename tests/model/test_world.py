"""Which node a machine is, and the indexes behind it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.controller.objects import apply
from muster.model.facts import MachineFacts
from muster.model.objects import Node
from muster.model.world import Change, World
from tests.cluster import MAC, UUID, node, world_of

COMPUTE: dict[str, object] = {"kind": "profile", "name": "compute"}
ONLY_MAC = node("m1", interfaces=[{"name": "eth0", "mac": "52:54:00:00:00:51"}])
BOARD = node("b1", machine={"board_serial": "S1"}, interfaces=[{"name": "eth0", "mac": "52:54:00:00:00:61"}])
NO_MACS = node("u1", machine={"uuid": "6ba7b810-9dad-11d1-80b4-00c04fd43071"})
WORLD = world_of(COMPUTE, node("n1"), node("n2"), ONLY_MAC, BOARD, NO_MACS)
OTHER_UUID = "6ba7b810-9dad-11d1-80b4-00c04fd43099"
OTHER_MAC = "52:54:00:00:00:99"

PRECEDENCE = [
    ("fingerprint and MAC agree", MachineFacts(UUID["n1"], macs=(MAC["n1"],)), "n1", ""),
    ("the other byte order", MachineFacts("10b8a76b-ad9d-d111-80b4-00c04fd43001", macs=(MAC["n1"],)), "n1", ""),
    ("fingerprint alone: a NIC was swapped", MachineFacts(UUID["n1"], macs=(OTHER_MAC,)), "n1", "none of the MACs"),
    (
        "fingerprint, the node declares no MAC",
        MachineFacts("6ba7b810-9dad-11d1-80b4-00c04fd43071", macs=(OTHER_MAC,)),
        "u1",
        "",
    ),
    ("fingerprint, no MAC known", MachineFacts(UUID["n1"]), "n1", ""),
    ("MAC of another machine", MachineFacts(OTHER_UUID, macs=(MAC["n1"],)), None, "another one than n1's"),
    ("MAC, UUID worthless now", MachineFacts("0" * 8 + "-0000-0000-0000-" + "0" * 12, macs=(MAC["n1"],)), None, "n1"),
    ("fingerprint of one, MAC of another", MachineFacts(UUID["n1"], macs=(MAC["n2"],)), None, "n2's"),
    ("MACs of two", MachineFacts(macs=(MAC["n1"], MAC["n2"])), None, "several nodes: n1, n2"),
    ("node declared by MAC only", MachineFacts(OTHER_UUID, macs=("52:54:00:00:00:51",)), "m1", ""),
    ("board serial agrees, product not declared", MachineFacts(None, "S1", "P", ("52:54:00:00:00:61",)), "b1", ""),
    ("board serial of another", MachineFacts(None, "S2", "P", ("52:54:00:00:00:61",)), None, "b1"),
    ("nobody", MachineFacts(OTHER_UUID, macs=(OTHER_MAC,)), None, ""),
    ("nothing", MachineFacts(), None, ""),
]


@pytest.mark.parametrize(("facts", "name", "flag"), [row[1:] for row in PRECEDENCE], ids=[row[0] for row in PRECEDENCE])
def test_precedence(facts: MachineFacts, name: str | None, flag: str) -> None:
    match = WORLD.match(facts)
    assert (match.node.name if match.node else None) == name
    assert flag in match.flag and bool(flag) == bool(match.flag)


def indexes(world: World) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    return dict(world.by_mac), dict(world.by_fingerprint), dict(world.by_address)


def rebuilt(world: World) -> World:
    return World().with_changes([Change(k, n, None, o) for (k, n), o in world.objects.items()], world.revision)


def test_two_nodes_swap_their_machines_in_one_change() -> None:
    before = world_of(COMPUTE, node("n1"), node("n2"))
    swapped = [
        {**node("n1"), "machine": node("n2")["machine"], "interfaces": node("n2")["interfaces"]},
        {**node("n2"), "machine": node("n1")["machine"], "interfaces": node("n1")["interfaces"]},
    ]
    for documents in (swapped, swapped[::-1]):
        after = world_of(*documents, based_on=before)
        found = after.match(MachineFacts(UUID["n1"], macs=(MAC["n1"],)))
        assert found.node is not None and (found.node.name, found.flag) == ("n2", "")
        assert indexes(after) == indexes(rebuilt(after))
    assert indexes(before) == indexes(rebuilt(before)), "an older world does not change"


assignment = st.permutations(range(6)).flatmap(lambda order: st.integers(0, 5).map(lambda kept: order[:kept]))


@given(assignment, assignment)
def test_indexes_are_those_of_a_world_made_afresh(first: list[int], second: list[int]) -> None:
    def documents(order: list[int]) -> list[dict[str, object]]:
        return [
            node(f"x{i}", interfaces=[{"name": "eth0", "mac": f"52:54:00:00:01:0{n}", "address": f"10.9.0.{n}/24"}])
            for i, n in enumerate(order)
        ]

    world = World()
    for order in (first, second):
        wanted = documents(order)
        _, made = apply_unchecked(world, wanted)
        world = world.with_changes(made, world.revision + 1)
        assert indexes(world) == indexes(rebuilt(world))


def apply_unchecked(world: World, documents: list[dict[str, object]]) -> tuple[object, list[Change]]:
    """Replace all nodes by these in one change."""
    names = {str(d["name"]) for d in documents}
    gone = [Change("node", n.name, n, None) for n in world.all(Node) if n.name not in names]
    after_gone = world.with_changes(gone, world.revision)
    outcome, changes = apply(after_gone, documents)
    return outcome, [*gone, *changes]
