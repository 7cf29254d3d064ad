"""Root opens a tree to nodes: never one that tells secrets or cannot boot, and no build takes an open one away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.images import build, recipe
from muster.images.build import Workshop
from muster.images.live import close_tree, open_tree
from muster.images.progress import silent
from muster.model.errors import ConflictError, RequestError

RELEASE = "6.1.0-40-amd64"


@pytest.fixture
def paths(tree: Path, tmp_path: Path) -> Paths:
    """A controller whose image `x` is the hand-made tree."""
    made = Paths(tmp_path / "prefix")
    (made.images / "x").mkdir(parents=True)
    tree.rename(made.images / "x/tree")
    return made


@pytest.fixture
def workshop(paths: Paths) -> Workshop:
    return Workshop(paths.images, paths.cache, SystemClock())


def test_opened_once_and_closed(paths: Paths, workshop: Workshop) -> None:
    assert open_tree(workshop, "x", RELEASE, allow_secrets=False)
    assert paths.live_mark("x").is_file()
    assert not open_tree(workshop, "x", RELEASE, allow_secrets=False)
    close_tree(workshop, "x")
    close_tree(workshop, "x")
    assert not paths.live_mark("x").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tree: (tree / "etc/shadow").write_text("root:$y$j9T$x:1::::::\n"), "password hashes of root"),
        (lambda tree: (tree / f"usr/lib/modules/{RELEASE}").rename(tree / "usr/lib/modules/other"), "no modules of"),
    ],
)
def test_a_tree_that_must_not_be_opened(
    paths: Paths, workshop: Workshop, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(paths.images / "x/tree")
    with pytest.raises(RequestError, match=message):
        open_tree(workshop, "x", RELEASE, allow_secrets=False)
    assert not paths.live_mark("x").exists()


def test_secrets_only_knowingly(paths: Paths, workshop: Workshop) -> None:
    (paths.images / "x/tree/etc/shadow").write_text("root:$y$j9T$x:1::::::\n")
    assert open_tree(workshop, "x", RELEASE, allow_secrets=True)


def test_no_build_takes_an_open_tree_away(paths: Paths, workshop: Workshop) -> None:
    open_tree(workshop, "x", RELEASE, allow_secrets=False)
    wanted = recipe.load(recipe.find("debian12-tiny", paths.etc / "recipes"), name="x")
    with pytest.raises(ConflictError, match="image live x --off"):
        build.build(workshop, wanted, fresh=False, progress=silent)
    assert (paths.images / "x/tree/etc/passwd").is_file()
