"""What a node is told of its root: where the controller's NFS server is as the node reaches it, and what is missing."""

from dataclasses import replace

from muster.controller.context import Context
from muster.controller.node_plan import hello
from muster.controller.node_views import explain
from muster.controller.objects import apply
from muster.model.objects import Image
from tests.cluster import SERVER, node, plan_values
from tests.cluster import hello as hello_of


def set_node(controller: Context, **settings: object) -> None:
    controller.store.change(lambda w: apply(w, [node("n1", **settings)]), who="test")


def test_the_nfs_server_is_where_the_node_reached_us(controller: Context) -> None:
    set_node(controller, root="nfs")
    machine = controller.world.by_fingerprint
    (fingerprint,) = (key for key, name in machine.items() if name == "n1")
    for address in ("10.77.0.1", "192.168.1.5"):
        plan = plan_values(hello(controller, hello_of(), f"http://{address}:9898"))
        assert plan["nfs"] == f"{address} 2049 /var/lib/muster/blobs/sha256"
        assert plan["nfs.file"] == plan["root.sha256"]
        assert plan["nfs.id"] == fingerprint[:32]


def test_what_is_missing_is_said_to_the_node_and_to_who_asks(controller: Context) -> None:
    set_node(controller, root="nfs")
    bare = replace(controller, nfs=None)
    plan = plan_values(hello(bare, hello_of(), SERVER))
    assert plan["action"] == "wait" and "serves no NFS" in plan["reason"]
    assert "serves no NFS" in str(explain(bare, "n1", SERVER)["decision"])
    assert str(explain(controller, "n1", SERVER)["decision"]).startswith("runs debian@")


def test_an_editable_tree_needs_nothing_of_its_version_but_the_modules(controller: Context) -> None:
    image = controller.world.get(Image, "debian")
    live = {"kind": "image", "name": "debian", "tags": dict(image.tags), "live": True}
    controller.store.change(lambda w: apply(w, [live, node("n1", root="nfs", image="debian@live")]), who="test")
    plan = plan_values(hello(replace(controller, kits={}), hello_of(), SERVER))
    assert (plan["action"], plan["image"], plan["mode"]) == ("run", "debian@live", "nfs")
    assert plan["nfs"].endswith(" /var/lib/muster/images/debian/tree")
    assert not {"root.sha256", "verity", "kit", "nfs.file"} & plan.keys()
