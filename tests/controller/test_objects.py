"""Objects made, changed, shown and removed; machines adopted."""

import pytest

from muster.boot.facts import hello_facts
from muster.controller import objects
from muster.model.documents import document
from muster.model.errors import ConflictError, NotFoundError, RequestError
from muster.model.facts import MachineFacts
from muster.model.objects import Machine, Node
from muster.model.world import Change, World
from tests.cluster import MAC, NETWORK, PROFILE, STRANGER_MAC, STRANGER_UUID, UUID, hello, node, published, world_of

WORLD = world_of(PROFILE, NETWORK, node("n1"), node("n2"), based_on=published(World()))


def after(world: World, changes: list[Change]) -> World:
    return world.with_changes(changes, world.revision + 1)


def pending(body: bytes, world: World = WORLD) -> tuple[World, str, MachineFacts]:
    facts = hello_facts(body)
    name = facts.machine.fingerprint
    assert name is not None
    machine = Machine(name=name, inventory=dict(facts.inventory), first_seen=0.0)
    return after(world, [Change("machine", name, None, machine)]), name, facts.machine


def refused(world: World, machine: str, name: str, words: dict[str, str]) -> str:
    with pytest.raises(RequestError) as caught:
        objects.adopt(world, machine, name, words)
    return str(caught.value)


def test_make_change_show_delete() -> None:
    outcome, changes = objects.make(WORLD, "node", "c[1-3]", {"profiles": "compute", "labels.rack": "r1"})
    assert outcome.lines == ("add node c1", "add node c2", "add node c3")
    world = after(WORLD, changes)
    outcome, changes = objects.change(world, "node", "@rack:r1", {"image": "debian:latest"})
    assert len(outcome.lines) == 3
    world = after(world, changes)
    shown = objects.show(world, "node", "c2")
    assert (shown["image"], shown["revision"]) == ("debian:latest", world.revision)
    outcome, changes = objects.delete(world, "node", "c[1-2]")
    assert outcome.lines == ("delete node c1", "delete node c2")
    assert [n.name for n in after(world, changes).all(Node)] == ["c3", "n1", "n2"]


def test_what_is_already_so_is_no_change() -> None:
    outcome, changes = objects.apply(WORLD, [node("n1"), PROFILE])
    assert (outcome.lines, changes, outcome.revision) == ((), [], WORLD.revision)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("make", ("node", "n[1-5]", {})),
        ("make", ("version", "x@1", {})),
        ("make", ("rack", "r1", {})),
        ("make", ("network", "new", {"subnet": "10.0.0.0/8"})),
        ("change", ("node", "n[1-3]", {"domain": "a"})),
        ("change", ("machine", "00000000", {"inventory.x": "y"})),
        ("change", ("rack", "r1", {})),
        ("delete", ("node", "n[1-3]")),
        ("delete", ("image", "debian")),
        ("show", ("node", "n[1-2]")),
        ("show", ("node", "@all")),
        ("show", ("profile", ",")),
        ("show", ("rack", "r1")),
        ("listing", ("rack",)),
        ("listing", ("profile", "nowhere")),
    ],
)
def test_refused(verb: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(RequestError):
        getattr(objects, verb)(WORLD, *arguments)


def test_apply_names_the_document_that_is_wrong() -> None:
    with pytest.raises(RequestError, match="node n7: colour: there is no such key") as caught:
        objects.apply(WORLD, [PROFILE, node("n7", colour="red")])
    assert [(p.document, p.field) for p in caught.value.problems] == [(1, ("colour",))]
    with pytest.raises(RequestError, match="node n7: name: given twice"):
        objects.apply(WORLD, [node("n7"), node("n7")])
    with pytest.raises(RequestError, match="a machine is not declared by hand"):
        objects.apply(WORLD, [{"kind": "machine", "name": "e" * 64, "inventory": {}, "first_seen": "0"}])


def test_a_listing_of_some_profiles() -> None:
    world = world_of({"kind": "profile", "name": "gpu"}, based_on=WORLD)
    assert [d["name"] for d in objects.listing(world, "profile")] == ["compute", "gpu"]
    assert [d["name"] for d in objects.listing(world, "profile", "gpu")] == ["gpu"]


def test_adopt_a_new_node() -> None:
    world, name, facts = pending(hello("stranger"))
    words = {"interfaces.eth0.address": "10.77.0.17/24", "profiles": "compute"}
    outcome, changes = objects.adopt(world, name[:8], "n7", words)
    assert outcome.lines == (f"adopt machine {name[:8]} as node n7",)
    world = after(world, changes)
    found = world.match(facts)
    assert found.node is not None and found.node.name == "n7" and not found.flag
    assert document(found.node)["machine"] == {"uuid": STRANGER_UUID}
    assert found.node.interfaces[0].mac == STRANGER_MAC and found.node.interfaces[0].address == "10.77.0.17/24"
    assert world.find(Machine, name) is None


def test_adopt_as_a_node_that_was_declared_without_a_machine() -> None:
    declared = node("n7", interfaces=[{"name": "eno1", "address": "10.77.0.17/24"}], image="debian")
    world, name, facts = pending(hello("stranger"), world_of(declared, based_on=WORLD))
    _, changes = objects.adopt(world, name, "n7", {})
    found = after(world, changes).match(facts)
    assert found.node is not None and not found.flag
    assert [(i.name, i.mac, i.address) for i in found.node.interfaces] == [("eno1", STRANGER_MAC, "10.77.0.17/24")]
    assert found.node.image == "debian"


def test_a_worthless_uuid_is_not_recorded() -> None:
    body = hello("stranger", more="board-serial\tBS1\n").replace(
        STRANGER_UUID.encode(), b"03000200-0400-0500-0006-000700080009"
    )
    world, name, facts = pending(body)
    _, changes = objects.adopt(world, name, "n7", {})
    found = after(world, changes).match(facts)
    assert found.node is not None and document(found.node)["machine"] == {
        "board_serial": "BS1",
        "product": "Standard PC",
    }


@pytest.mark.parametrize("uuid", ["Not Settable", "00000000-0000-0000-0000-000000000000"])
def test_adopt_a_machine_that_only_its_mac_tells(uuid: str) -> None:
    world, name, facts = pending(hello("stranger").replace(STRANGER_UUID.encode(), uuid.encode()))
    _, changes = objects.adopt(world, name, "n7", {})
    found = after(world, changes).match(facts)
    assert found.node is not None and found.node.machine is None
    world = world_of(node("n8", interfaces=[{"name": "eth0", "mac": "52:54:00:00:00:98"}]), based_on=world)
    assert "not be recognised as node n8" in refused(world, name, "n8", {})


def test_adopt_a_machine_that_does_not_say_from_where_it_booted() -> None:
    body = b"\n".join(line for line in hello("stranger").split(b"\n") if not line.startswith((b"bootif", b"interface")))
    world, name, facts = pending(body)
    _, changes = objects.adopt(world, name, "n7", {})
    found = after(world, changes).match(facts)
    assert found.node is not None and found.node.interfaces == ()


def test_adoptions_that_clash() -> None:
    world, name, _ = pending(hello("stranger"))
    assert "n1 is another machine already" in refused(world, name, "n1", {})
    assert f"MAC {MAC['n2']} belongs to several" in refused(world, name, "n7", {"interfaces.eth1.mac": MAC["n2"]})
    assert "not be recognised" in refused(world, name, "n7", {"machine.uuid": UUID["n1"][:-1] + "f"})
    with pytest.raises(NotFoundError):
        objects.adopt(world, "ffffffff", "n7", {})
    assert "one machine is wanted" in refused(world, f"{name[:8]},{name[:9]}", "n7", {})


def test_a_prefix_must_be_unique() -> None:
    world = WORLD
    for last in "ab":
        name = "1" * 63 + last
        world = after(world, [Change("machine", name, None, Machine(name=name, inventory={}, first_seen=0.0))])
    with pytest.raises(ConflictError, match="not unique"):
        objects.adopt(world, "1" * 8, "n7", {})


def test_adopt_by_mac() -> None:
    world, _, facts = pending(hello("stranger"))
    _, changes = objects.adopt(world, STRANGER_MAC.upper(), "n7", {})
    found = after(world, changes).match(facts)
    assert found.node is not None and found.node.name == "n7"
