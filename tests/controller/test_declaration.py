"""Everything declared as text: laid over a world, compared, written out, and back again without a change."""

import io

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.cli import documents, output
from muster.controller import objects
from muster.model.documents import parse
from muster.model.errors import ConflictError, NotFoundError, RequestError
from muster.model.objects import Image, Node, Profile
from muster.model.world import Change, World
from tests.cluster import NETWORK, PROFILE, node, published, world_of

WORLD = world_of(PROFILE, NETWORK, node("n1"), node("n2"), based_on=published(World()))


def test_pruning_removes_what_is_not_declared_but_neither_images_nor_machines() -> None:
    machine = parse({"kind": "machine", "name": "e" * 64, "inventory": {}, "first_seen": "0"})
    world = WORLD.with_changes([Change("machine", machine.name, None, machine)], 9)
    outcome, changes = objects.apply(world, [PROFILE, node("n1", image="debian")], prune=True)
    assert outcome.lines == ("change node n1", "delete network lab", "delete node n2")
    after = world.with_changes(changes, 10)
    assert after.find(Image, "debian") and ("machine", machine.name) in after.objects


def test_pruning_leaves_nothing_dangling_and_never_everything() -> None:
    with pytest.raises(ConflictError, match=r"node n1: profiles\.0: there is no profile 'compute'"):
        objects.apply(WORLD, [node("n1", image="debian")], prune=True)
    with pytest.raises(RequestError, match="all would be removed"):
        objects.apply(WORLD, [], prune=True)


def test_images_may_come_later_only_if_that_was_said() -> None:
    wanted = [
        {"kind": "image", "name": "rocky", "tags": {"stable": "0123456789ab"}},
        {"kind": "profile", "name": "default", "image": "rocky:stable"},
        node("x1", image="suse"),
    ]
    with pytest.raises(ConflictError, match="there is no version rocky@0123456789ab") as caught:
        objects.apply(WORLD, wanted)
    assert "--allow-missing-images" in caught.value.hint and len(caught.value.problems) == 3
    _, changes = objects.apply(WORLD, wanted, missing_images=True)
    world = WORLD.with_changes(changes, 9)
    _, changes = objects.change(world, "node", "x1", {"labels.rack": "r1"})
    assert changes, "what dangled before does not stand in the way of another change"
    with pytest.raises(ConflictError, match="no image 'suze'"):
        objects.change(world, "node", "x1", {"image": "suze"})


def test_an_image_is_declared_by_its_tags_only() -> None:
    with pytest.raises(ConflictError, match="image x: there is no version of it"):
        objects.apply(WORLD, [{"kind": "image", "name": "x"}])
    world = world_of(node("n1", image="debian:latest"), based_on=WORLD)
    with pytest.raises(ConflictError, match="tag 'latest' would go, but is used by node n1, profile compute"):
        objects.apply(world, [{"kind": "image", "name": "debian", "tags": {}}])


def test_what_cannot_be_read_is_not_also_missing() -> None:
    with pytest.raises(RequestError) as caught:
        objects.apply(WORLD, [{"kind": "profile", "name": "new", "root": "floppy"}, node("x1", profiles=["new", "no"])])
    found = [(p.document, p.field) for p in caught.value.problems]
    assert found == [(0, ("root",)), (1, ("profiles", 1))], "bad values and dangling references in one answer"


def test_rows_of_an_inventory() -> None:
    rows = [
        {"name": "n1", "labels.rack": "r1", "image": ""},
        {"name": "x1", "interfaces.eth0.mac": "52-54-00-00-01-01", "profiles": "compute"},
    ]
    outcome, changes = objects.lay(WORLD, "node", rows)
    assert outcome.lines == ("change node n1", "add node x1")
    found = WORLD.with_changes(changes, 9).get(Node, "x1")
    assert (found.profiles, found.interfaces[0].mac) == (("compute",), "52:54:00:00:01:01")
    with pytest.raises(RequestError) as caught:
        objects.lay(WORLD, "node", [{"name": "x1", "colour": "red"}, {"name": "x2", "colour": ""}])
    assert [(p.document, p.field) for p in caught.value.problems] == [(None, ("colour",))]


def test_export_of_some_kinds() -> None:
    assert [(d["kind"], d["name"]) for d in objects.export(WORLD)] == [
        ("image", "debian"),
        ("network", "lab"),
        ("profile", "compute"),
        ("node", "n1"),
        ("node", "n2"),
    ]
    assert [d["kind"] for d in objects.export(WORLD, ["profile"])] == ["profile"]
    with pytest.raises(NotFoundError, match="machine"):
        objects.export(WORLD, ["machine"])


words = st.text(st.characters(codec="utf-8"), max_size=12)
keys = st.from_regex(r"\A[A-Za-z0-9]{1,8}\Z")
settings_of = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["debian", "debian:latest", "later:v1"]),
        "labels": st.dictionaries(keys, words, max_size=3),
        "overlays": st.lists(st.sampled_from(["base", "-base", "site", "on", "123"]), max_size=3),
        "kernel_arguments": st.lists(st.sampled_from(["quiet", "console=ttyS0,115200", "-x", "a=0x10"]), max_size=3),
        "power": st.fixed_dictionaries({"driver": st.just("lab")}, optional={"user": words}),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
        "serial_console": st.fixed_dictionaries({}, optional={"speed": st.just(9600), "login": st.just("none")}),
    },
)
nodes = st.dictionaries(
    st.integers(1, 200),
    st.tuples(settings_of, st.booleans(), st.lists(st.sampled_from(["p1", "p2"]), unique=True)),
    max_size=6,
)


def declared(numbered: dict[int, tuple[dict[str, object], bool, list[str]]]) -> list[dict[str, object]]:
    made: list[dict[str, object]] = [NETWORK, {"kind": "profile", "name": "p2"}]
    for number, (plain, dhcp, profiles) in numbered.items():
        eth0 = {"name": "eth0", "mac": f"52:54:00:00:00:{number:02x}", "dhcp": dhcp}
        serial = {"board_serial": f"{number:08d}"}
        made.append(node(f"x{number}", machine=serial, interfaces=[eth0], profiles=profiles, **plain))
    return made


@settings(deadline=None, max_examples=60)
@given(settings_of, nodes, st.sampled_from(["yaml", "json"]))
def test_what_was_exported_changes_nothing_and_makes_all_of_it_anew(
    profile: dict[str, object], numbered: dict[int, tuple[dict[str, object], bool, list[str]]], form: str
) -> None:
    wanted = [*declared(numbered), {"kind": "profile", "name": "p1", **profile}]
    _, changes = objects.apply(published(World()), wanted, missing_images=True)
    world = published(World()).with_changes(changes, 5)
    exported = objects.export(world)
    text = output.as_json(exported) if form == "json" else output.documents(exported)
    file = io.BytesIO(text.encode())
    file.name = "all"
    again = documents.read([file]).documents
    assert objects.apply(world, again, prune=True, missing_images=True)[1] == []
    _, changes = objects.apply(World(), again, missing_images=True)
    assert objects.export(World().with_changes(changes, 1)) == exported
    assert world.find(Profile, "p1") is not None


def test_other_readers_of_yaml_see_the_same_text() -> None:
    world = world_of(node("x1", labels={"a": "yes", "b": "1e3", "c": "0x1f", "d": "12:30", "e": ""}), based_on=WORLD)
    (found,) = (d for d in yaml.safe_load_all(output.documents(objects.export(world))) if d["name"] == "x1")
    assert found["labels"] == {"a": "yes", "b": "1e3", "c": "0x1f", "d": "12:30", "e": ""}
