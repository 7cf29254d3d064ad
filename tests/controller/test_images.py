"""Versions and tags: whole or not at all, and nothing is taken from under a node."""

import pytest

from muster.controller import images
from muster.controller.context import Context
from muster.controller.node_views import effective_document, node_rows
from muster.controller.objects import apply
from muster.model.errors import ConflictError, NotFoundError, RequestError
from muster.model.images import resolve
from muster.model.objects import Image
from tests.cluster import version_document


def versions(controller: Context) -> list[str]:
    return [str(row["name"]) for row in images.rows(controller.world)]


def test_a_second_version_and_back(controller: Context) -> None:
    (old,) = versions(controller)
    new = str(
        images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "x")["version"]
    )
    assert resolve(controller.world, "debian").name == new and sorted(versions(controller)) == sorted([old, new])
    assert {row["version"] for row in node_rows(controller)} == {new}
    controller.store.change(lambda w: images.tag(w, old, "latest"), who="x")
    assert resolve(controller.world, "debian").name == resolve(controller.world, "debian:latest").name == old
    assert resolve(controller.world, old) == resolve(
        controller.world, f"debian@{resolve(controller.world, old).digest}"
    )


def test_registering_again_is_no_change(controller: Context) -> None:
    revision = controller.world.revision
    images.register(controller, version_document(blobs=controller.blobs), "latest", "x")
    assert controller.world.revision == revision


def test_a_version_whose_blobs_are_missing_is_refused(controller: Context) -> None:
    with pytest.raises(RequestError, match=r"blobs of .* are missing"):
        images.register(controller, version_document(kernel="6.2"), "latest", "x")
    assert len(versions(controller)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"name": "debian@000000000000"}, {"digest": "f" * 64}, {"image": "../etc"}, {"extra": "x"}, {"root": None}],
)
def test_a_manifest_that_lies_is_refused(controller: Context, wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        images.register(controller, {**version_document(kernel="6.2", blobs=controller.blobs), **wrong}, "latest", "x")


@pytest.mark.parametrize("tag", ["", "Bad Tag", "../x", "a\nb"])
def test_a_bad_tag_is_refused(controller: Context, tag: str) -> None:
    with pytest.raises(RequestError):
        images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), tag or " ", "x")
    if tag:
        with pytest.raises(RequestError):
            images.tag(controller.world, "debian", tag)
    assert len(versions(controller)) == 1


def test_what_a_node_boots_is_not_deleted(controller: Context) -> None:
    (old,) = versions(controller)
    with pytest.raises(ConflictError, match="n1, n2"):
        images.delete(controller.world, old)
    images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "x")
    controller.store.change(lambda w: images.delete(w, old), who="x")
    with pytest.raises(NotFoundError):
        resolve(controller.world, old)
    assert effective_document(controller.world, "n1")["image"] == "debian"


def test_deleting_a_version_frees_what_no_other_holds(controller: Context) -> None:
    (old,) = versions(controller)
    shared = resolve(controller.world, old).packages
    document = version_document(kernel="6.2", blobs=controller.blobs) | {"packages": shared.model_dump()}
    images.register(controller, document, "next", "x")
    new = resolve(controller.world, "debian:next")
    images.delete_with_blobs(controller, "debian:next", "x")
    assert versions(controller) == [old]
    assert [controller.blobs.has(blob.sha256) for blob in (new.root, new.kernel, shared)] == [False, False, True]


def test_an_editable_tree_is_no_version(controller: Context) -> None:
    image = controller.world.get(Image, "debian")
    live = {"kind": "image", "name": "debian", "tags": dict(image.tags), "live": True}
    controller.store.change(lambda w: apply(w, [live]), who="x")
    assert resolve(controller.world, "debian@live") == resolve(controller.world, "debian:latest")
    for ask in (images.show, images.delete):
        with pytest.raises(RequestError, match="is the editable tree, no version"):
            ask(controller.world, "debian@live")
    with pytest.raises(RequestError, match="is the editable tree, no version"):
        images.tag(controller.world, "debian@live", "stable")


def test_a_new_version_leaves_the_tree_to_the_nodes(controller: Context) -> None:
    image = controller.world.get(Image, "debian")
    live = {"kind": "image", "name": "debian", "tags": dict(image.tags), "live": True}
    controller.store.change(lambda w: apply(w, [live]), who="x")
    images.register(controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "x")
    assert controller.world.get(Image, "debian").live


def test_a_tree_is_opened_and_closed_but_never_under_a_node(controller: Context) -> None:
    answer = controller.store.change(lambda w: images.live(w, "debian", on=True), who="x")
    assert answer == {"image": "debian", "live": True} and controller.world.get(Image, "debian").live
    revision = controller.world.revision
    controller.store.change(lambda w: images.live(w, "debian", on=True), who="x")
    assert controller.world.revision == revision
    node = {"kind": "node", "name": "n1", "image": "debian@live", "root": "nfs"}
    controller.store.change(lambda w: apply(w, [node]), who="x")
    with pytest.raises(ConflictError, match="debian@live"):
        controller.store.change(lambda w: images.live(w, "debian", on=False), who="x")
    with pytest.raises(NotFoundError):
        images.live(controller.world, "absent", on=True)
