"""What a node ends up with, and where each value came from."""

from muster.model.cascade import Cascade, Effective, effective
from muster.model.objects import Node
from muster.model.world import World
from tests.cluster import node, published, world_of


def merged(world: World, name: str = "x1") -> Effective:
    return effective(world, world.get(Node, name))


def sources(found: Effective) -> dict[str, str]:
    return {value.key: value.source for value in found.values}


def profile(name: str, **fields: object) -> dict[str, object]:
    return {"kind": "profile", "name": name, **fields}


def test_scalars_the_later_wins_and_says_so() -> None:
    world = world_of(
        profile("default", timezone="Europe/Berlin", domain="a.example"),
        profile("one", domain="b.example", upper_size="1g"),
        profile("two", upper_size="2g"),
        node("x1", profiles=["one", "two"], timezone="Asia/Tokyo"),
    )
    found = merged(world)
    assert (found.settings.timezone, found.settings.domain) == ("Asia/Tokyo", "b.example")
    assert (found.settings.upper_size, found.settings.root) == ("2g", "ram")
    given = sources(found)
    assert (given["timezone"], given["domain"], given["upper_size"]) == ("node x1", "profile one", "profile two")
    assert given["root"] == "default"


def test_the_order_of_profiles_is_the_nodes_and_default_applies_to_all() -> None:
    profiles = [profile("default", domain="d.example"), profile("one", domain="o"), profile("two", domain="t")]
    world = world_of(
        *profiles, node("x1", profiles=["two", "one"]), node("x2"), node("x3", profiles=["one", "default"])
    )
    assert merged(world).settings.domain == "o"
    assert merged(world, "x2").settings.domain == "d.example"
    assert merged(world, "x3").settings.domain == "o", "naming default does not move it"


def test_lists_append_without_duplicates_and_minus_removes() -> None:
    world = world_of(
        profile("one", kernel_arguments=["quiet", "mitigations=auto"], overlays=["site"]),
        profile("two", kernel_arguments=["-quiet", "mitigations=auto", "nosmt"]),
        node("x1", profiles=["one", "two"], overlays=["-base", "own"], kernel_arguments=["quiet"]),
    )
    found = merged(world)
    assert found.settings.kernel_arguments == ("mitigations=auto", "nosmt", "quiet")
    assert found.settings.overlays == ("site", "own")
    given = sources(found)
    assert given["kernel_arguments[mitigations=auto]"] == "profile one"
    assert given["kernel_arguments[quiet]"] == "node x1", "it was removed before and is there again"
    assert "overlays[base]" not in given


def test_maps_merge_by_key() -> None:
    world = world_of(
        profile("one", labels={"rack": "r1", "room": "a"}), node("x1", profiles=["one"], labels={"rack": "r2"})
    )
    found = merged(world)
    assert found.settings.labels == {"rack": "r2", "room": "a"}
    assert (sources(found)["labels.rack"], sources(found)["labels.room"]) == ("node x1", "profile one")


def test_parts_of_nested_settings_merge_too() -> None:
    world = world_of(
        profile("one", serial_console={"speed": 9600}, power={"driver": "lab", "user": "admin"}),
        node("x1", profiles=["one"], serial_console={"device": "ttyS1"}, power={"address": "/run/lab.sock"}),
    )
    found = merged(world)
    console, power = found.settings.serial_console, found.settings.power
    assert console is not None and power is not None
    assert (console.device, console.speed, console.login) == ("ttyS1", 9600, "password")
    assert (power.driver, power.user, power.address) == ("lab", "admin", "/run/lab.sock")
    given = sources(found)
    assert given["serial_console.device"] == "node x1"
    assert given["serial_console.speed"] == "profile one"
    assert given["serial_console.login"] == "default"


def test_parts_of_parts_merge_too() -> None:
    world = world_of(
        profile("one", disk={"swap": "swap", "make": {"disk": "serial:A1", "swap_size": "8g"}}, tmp={"on": "tmpfs"}),
        node("x1", profiles=["one"], disk={"path": "/data", "make": {"disk": "only"}}, tmp={"size": "1g"}),
    )
    found = merged(world)
    disk, tmp, var = found.settings.disk, found.settings.tmp, found.settings.var
    assert disk is not None and disk.make is not None and tmp is not None and var is not None
    assert (disk.swap, disk.path, disk.make.disk, disk.make.swap_size) == ("swap", "/data", "only", "8g")
    assert (tmp.on, tmp.size, var.on, var.size) == ("tmpfs", "1g", "root", None)
    given = sources(found)
    assert {key: given[key] for key in given if key.startswith(("disk", "tmp", "var"))} == {
        "disk.swap": "profile one",
        "disk.path": "node x1",
        "disk.make.disk": "node x1",
        "disk.make.swap_size": "profile one",
        "tmp.on": "profile one",
        "tmp.size": "node x1",
        "var.on": "default",
    }


def test_values_of_many_nodes_are_those_of_each() -> None:
    world = world_of(
        profile("default", image="debian", labels={"site": "a", "rack": "none"}),
        profile("gpu", image="debian:latest", labels={"gpu": "yes"}, root="nfs"),
        node("x1"),
        node("x2", profiles=["gpu"], root="tmpfs"),
        node("x3", profiles=["gpu"], image="debian", labels={"rack": "r3"}),
        based_on=published(World()),
    )
    many = Cascade(world)
    for each in world.all(Node):
        settings = effective(world, each).settings
        assert (many.image(each), many.labels(each)) == (settings.image, settings.labels)
        assert many.root(each) == settings.root
        assert many.upper_size(each) == settings.upper_size
