"""`muster image live`: root opens a tree, then the controller lets nodes boot it; together or not at all."""

import os

import pytest

from muster.controller.context import Context
from muster.controller.objects import apply
from muster.host.paths import Paths
from muster.model.images import resolve
from muster.model.objects import Image
from tests.cli.conftest import Muster


@pytest.fixture
def paths(serving: Context, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Paths:
    """A controller with the tree of its image debian, and a user who is root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = Paths(tmp_path)
    release = resolve(serving.world, "debian").kernel_release
    (made.images / f"debian/tree/lib/modules/{release}/kernel").mkdir(parents=True)
    return made


def test_opened_and_closed(muster: Muster, serving: Context, paths: Paths) -> None:
    said = muster("image", "live", "debian")
    assert (said.status, said.out) == (0, f"debian@live: nodes with root nfs boot {paths.images}/debian/tree\n")
    assert serving.world.get(Image, "debian").live and paths.live_mark("debian").is_file()
    assert "debian" in muster("audit", "image").out
    said = muster("image", "live", "debian", "--off")
    assert said.status == 0
    assert not serving.world.get(Image, "debian").live and not paths.live_mark("debian").exists()


def test_closed_under_a_node_neither_of_the_two_happens(muster: Muster, serving: Context, paths: Paths) -> None:
    muster("image", "live", "debian")
    node = {"kind": "node", "name": "n1", "image": "debian@live", "root": "nfs"}
    serving.store.change(lambda w: apply(w, [node]), who="x")
    said = muster("image", "live", "debian", "--off")
    assert said.status == 2 and "debian@live" in said.err
    assert serving.world.get(Image, "debian").live and paths.live_mark("debian").is_file()


def test_what_the_controller_does_not_know_is_not_opened(muster: Muster, paths: Paths) -> None:
    (paths.images / "other/tree").mkdir(parents=True)
    assert muster("image", "live", "other").status == 2
    assert not paths.live_mark("other").exists()
    assert muster("image", "live", "other", "--off").status == 0


@pytest.mark.usefixtures("serving")
def test_it_needs_root(muster: Muster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = muster("image", "live", "debian")
    assert said.status == 2 and "needs root" in said.err
