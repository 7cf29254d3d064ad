"""What a reboot would change: by content, named part by part, the same after a restart of the app."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from muster.boot import ipxe
from muster.boot.decide import decide
from muster.boot.heartbeat import Heartbeat
from muster.controller import images, node_plan, node_views
from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.objects import apply
from muster.controller.reboot import Comparison
from muster.model.errors import ConflictError
from muster.model.facts import MachineFacts
from muster.model.objects import Blob, Node
from muster.overlays.render import Renderer
from tests.cluster import (
    KERNEL,
    MAC,
    PROFILE,
    SERVER,
    UUID,
    FakeClock,
    close,
    cluster,
    hello,
    node,
    plan_values,
    version_document,
)


def command_line(context: Context, name: str = "n1") -> str:
    """What the loader gives the kernel now; and what a loader adds by itself."""
    facts = MachineFacts(uuid=UUID[name], macs=(MAC[name],))
    words = ipxe.command_line(decide(context.world, facts), MAC[name], SERVER, context.node_segment)
    return f"BOOT_IMAGE=http://10.77.0.1/kernel initrd=modules initrd=node {words}"


def runs(context: Context, name: str = "n1", *, line: str | None = None, kernel: str = KERNEL) -> Boot:
    """The node boots what it is given now and becomes ready."""
    said = f"cmdline\t{command_line(context, name) if line is None else line}\n"
    plan = plan_values(node_plan.hello(context, hello(name, kernel=kernel, more=said), SERVER))
    boot = context.boots.get(plan["boot"])
    context.boots.heartbeat(boot, Heartbeat("ready", 30.0, mode=plan.get("mode", ""), plan=plan["digest"]))
    node_plan.settle(context, boot, plan["digest"], SERVER)
    return boot


def put(context: Context, *documents: dict[str, object]) -> None:
    context.store.change(lambda world: apply(world, documents), who="test")


def pack(context: Context, kernel: str = KERNEL, tag: str = "latest", **blobs: str) -> None:
    """A new version whose named blobs have other bytes; all others are as they were."""
    text = version_document(kernel=kernel, blobs=context.blobs) | {
        key: context.blobs.put_bytes(value.encode()).model_dump() for key, value in blobs.items()
    }
    digest = hashlib.sha256(repr((kernel, sorted(blobs.items()))).encode()).hexdigest()
    images.register(context, {**text, "digest": digest, "name": f"debian@{digest[:12]}"}, tag, "test")


def words(context: Context, name: str = "n1") -> tuple[str, ...] | None:
    """As a listing says it; that `show` agrees is checked with it."""
    found, boot = context.world.get(Node, name), context.boots.of_node(name)
    assert boot is not None
    listed, exact = Comparison(context).of(found, boot), Comparison(context).exactly(found, boot)
    assert listed == (None if exact is None else tuple(change.word for change in exact))
    return listed


def quiet(name: str, **fields: object) -> dict[str, object]:
    """The node with one more kernel argument."""
    return node(name, kernel_arguments=["quiet"], **fields)


ETH1 = [{"name": "eth1", "mac": MAC["n1"], "address": "10.77.0.11/24"}]
DISK: dict[str, object] = {"scratch": "data", "path": "/data"}
Act = Callable[[Context], object]
CHANGES: dict[str, tuple[Act, tuple[str, ...]]] = {
    "nothing": (lambda _c: None, ()),
    "label of another": (lambda c: put(c, node("n2", labels={"rack": "r1"})), ()),
    "a label that no overlay shows": (lambda c: put(c, node("n1", labels={"rack": "r1"})), ()),
    "power": (lambda c: put(c, node("n1", power={"driver": "lab", "address": "/x"})), ()),
    "upper layer": (lambda c: put(c, node("n1", upper_size="2g")), ()),
    "same bytes packed again": (lambda c: pack(c, packages="other list"), ()),
    "a version that it does not boot": (lambda c: pack(c, tag="test", root="other root"), ()),
    "its profile, in what nodes do not see": (lambda c: put(c, {**PROFILE, "upper_size": "2g"}), ()),
    "image": (lambda c: pack(c, root="other root"), ("image",)),
    "drivers": (lambda c: pack(c, modules="other modules"), ("drivers",)),
    "root": (lambda c: put(c, node("n1", root="tmpfs")), ("root",)),
    "arguments": (lambda c: put(c, quiet("n1")), ("arguments",)),
    "arguments by its profile": (lambda c: put(c, {**PROFILE, "kernel_arguments": ["a", "b"]}), ("arguments",)),
    "placement": (lambda c: put(c, node("n1", tmp={"on": "tmpfs"})), ("placement",)),
    "disk": (lambda c: put(c, node("n1", disk=DISK)), ("placement",)),
    "overlay": (lambda c: put(c, node("n1", timezone="Europe/Berlin")), ("overlay",)),
    "a file of the cluster": (
        lambda c: put(c, node("n3", interfaces=[{"name": "e", "address": "10.77.0.33/24"}])),
        ("overlay",),
    ),
    "interfaces": (lambda c: put(c, node("n1", interfaces=ETH1)), ("overlay", "interfaces")),
    "several": (
        lambda c: (pack(c, root="other root"), put(c, quiet("n1", var={"on": "disk"}))),
        ("image", "arguments", "placement"),
    ),
    "no image": (lambda c: put(c, node("n1", profiles=[])), ("wait",)),
    "no such overlay": (lambda c: put(c, node("n1", overlays=["nowhere"])), ("wait",)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_part_has_its_word(controller: Context, change: str) -> None:
    act, expected = CHANGES[change]
    runs(controller)
    assert words(controller) == ()
    act(controller)
    assert words(controller) == expected, "and asked again it is the same"
    assert words(controller) == expected


def test_back_to_what_it_was_is_nothing(controller: Context) -> None:
    (first,) = images.rows(controller.world)
    runs(controller)
    pack(controller, root="other root")
    assert words(controller) == ("image",)
    controller.store.change(lambda w: images.tag(w, str(first["name"]), "latest"), who="test")
    assert words(controller) == ()


def test_what_the_loader_loaded_goes_by_its_digest(controller: Context) -> None:
    """Muster's own part of the initramfs has a word of its own, also after the app that gave it has gone."""
    boot = runs(controller)
    upgraded = replace(controller, node_segment=Blob(sha256="d" * 64, size=6))
    assert words(upgraded) == ("muster",)
    images.register(upgraded, version_document(kernel="6.2", blobs=controller.blobs), "latest", "test")
    assert words(upgraded) == ("kernel", "drivers", "muster", "image")
    boot.loaded = boot.compared = None
    assert words(upgraded) == ("boot-files", "image"), "which of them changed is not known"


def test_without_a_command_line_only_the_kernels_release_is_known(controller: Context) -> None:
    runs(controller, line="")
    assert words(replace(controller, node_segment=Blob(sha256="d" * 64, size=6))) == ()
    images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "test")
    assert words(controller) == ("kernel", "image")


def test_an_argument_by_hand_goes_with_a_reboot(controller: Context) -> None:
    runs(controller, line=f"{command_line(controller)} muster.break=root")
    assert words(controller) == ("arguments",)
    (change,) = Comparison(controller).exactly(controller.world.get(Node, "n1"), runs_of(controller)) or ()
    assert change.text == "-muster.break=root"


def runs_of(context: Context, name: str = "n1") -> Boot:
    boot = context.boots.of_node(name)
    assert boot is not None
    return boot


def test_it_survives_a_restart_of_the_app(
    controller: Context, tmp_path: Path, overlay_workers: Renderer, clock: FakeClock
) -> None:
    boot = runs(controller)
    close(controller)
    again = cluster(tmp_path / "controller", overlay_workers, clock)
    assert runs_of(again).given == boot.given and runs_of(again).loaded == boot.loaded
    assert words(again) == ()
    put(again, quiet("n1"))
    assert words(again) == ("arguments",)
    row = node_views.node_rows(again, "n1")[0]
    assert (row["mode"], row["running"]) == ("ram", row["version"]), "before the agent said anything"
    close(again)


def test_it_is_what_the_node_took_not_what_it_was_offered_last(controller: Context) -> None:
    """A plan that changed while the node prepared its root; then it ran by the first."""
    said = f"cmdline\t{command_line(controller)}\n"
    first = plan_values(node_plan.hello(controller, hello("n1", more=said), SERVER))
    request = node_plan.authorize(controller, first["boot"], first["token"])
    put(controller, node("n1", timezone="Europe/Berlin"))
    second = plan_values(node_plan.plan(controller, request, SERVER))
    assert first["digest"] != second["digest"]
    boot = request.boot
    controller.boots.heartbeat(boot, Heartbeat("ready", 30.0))
    for plan, expected in ((second, ()), (first, ("overlay",))):
        node_plan.settle(controller, boot, plan["digest"], SERVER)
        assert boot.given is not None and boot.given.plan == plan["digest"]
        assert words(controller) == expected
    node_plan.hello(controller, hello("n1", more=said), SERVER)
    assert words(controller) == ("overlay",), "a node that runs and says hello again runs on as it did"


def test_a_plan_that_nobody_knows_any_more(controller: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = runs(controller)
    made: list[object] = []
    render = node_plan._plan
    monkeypatch.setattr(node_plan, "_plan", lambda *a: (made.append(a), render(*a))[1])
    for _ in range(3):
        node_plan.settle(controller, boot, "0123456789abcdef", SERVER)
    assert words(controller) is None and len(made) == 1, "it is looked for once"
    assert node_views.node_rows(controller, "n1", ["reboot"]) == [{"reboot": None}]
    status = node_views.status(controller)["reboot"]
    assert isinstance(status, dict) and status["unknown"] == {"count": 1, "nodes": "n1"}


def test_a_listing_renders_so_many_overlays_and_says_so_of_the_rest(controller: Context, tmp_path: Path) -> None:
    motd = tmp_path / "controller/overlays/base/files/etc/motd.j2"
    motd.parent.mkdir(parents=True)
    motd.write_text("{{ '' if node.labels else '' }}")
    for name in ("n1", "n2"):
        runs(controller, name)
    put(controller, {**PROFILE, "labels": {"rack": "r1"}})
    nodes = list(controller.world.all(Node))
    bounded = Comparison(controller, renders=1)
    assert [bounded.of(each, runs_of(controller, each.name)) for each in nodes] == [(), ("overlay?",)]
    assert [Comparison(controller, renders=0).of(each, runs_of(controller, each.name)) for each in nodes] == [
        (),
        ("overlay?",),
    ], "what was rendered is remembered"
    assert [Comparison(controller, renders=1).of(each, runs_of(controller, each.name)) for each in nodes] == [(), ()]


def test_an_overlay_that_was_edited_is_seen(controller: Context, tmp_path: Path) -> None:
    runs(controller)
    motd = tmp_path / "controller/overlays/base/files/etc/motd"
    motd.parent.mkdir(parents=True)
    motd.write_text("hello")
    assert words(controller) == ("overlay",)
    shutil.rmtree(tmp_path / "controller/overlays/base")
    assert words(controller) == ()


def test_a_version_that_a_node_reads_over_nfs_is_kept(controller: Context, clock: FakeClock) -> None:
    put(controller, node("n1", root="nfs"))
    boot = runs(controller)
    old = boot.image
    images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "test")
    with pytest.raises(ConflictError, match=r"n1 reads debian@.* over NFS now"):
        images.delete_with_blobs(controller, old, "test")
    clock.time += 10_000
    with pytest.raises(ConflictError):
        images.delete_with_blobs(controller, old, "test")
    controller.boots.heartbeat(boot, Heartbeat("stopping", 40.0))
    clock.time += 10_000
    assert images.delete_with_blobs(controller, old, "test") == {"deleted": old}


def test_nodes_that_hold_their_image_let_its_version_go(controller: Context) -> None:
    old = runs(controller).image
    images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "test")
    assert images.delete_with_blobs(controller, old, "test") == {"deleted": old}
    assert node_views.node_rows(controller, "n1")[0]["digest"] == old.partition("@")[2], "all that is left of it"
    assert words(controller) == ("kernel", "drivers", "image"), "what it has is known though it is gone here"
