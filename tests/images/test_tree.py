"""A tree is never left, whatever its links say."""

import os
from pathlib import Path

import pytest

from muster.images.tree import Tree
from muster.model.errors import RequestError


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/shadow").write_text("host secret")
    return tmp_path / "outside"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "tree/etc").mkdir(parents=True)
    return Tree(tmp_path / "tree")


def test_absolute_links_start_at_the_trees_root(tree: Tree) -> None:
    (tree.root / "usr").mkdir()
    (tree.root / "usr/real").write_text("ours")
    (tree.root / "etc/name").symlink_to("/usr/real")
    assert tree.read("etc/name") == b"ours"


def test_a_link_onto_itself_is_an_error_and_not_the_hosts_file(tree: Tree) -> None:
    (tree.root / "etc/shadow").symlink_to("/etc/shadow")
    with pytest.raises(RequestError, match="without end"):
        tree.read("etc/shadow")


@pytest.mark.parametrize("climb", ["../../outside", "/../../outside", "../../../../../../../../../outside"])
def test_no_number_of_dots_climbs_out(tree: Tree, outside: Path, climb: str) -> None:
    assert outside.is_dir()
    (tree.root / "etc/out").symlink_to(climb)
    assert tree.read("etc/out/shadow") is None
    assert tree.names("etc/out") == []


def test_a_link_to_the_host_is_read_inside(tree: Tree, outside: Path) -> None:
    (tree.root / "etc/out").symlink_to(outside)
    assert tree.read("etc/out/shadow") is None
    assert tree.glob("etc/out/*") == []


def test_removing_does_not_follow_links(tree: Tree, outside: Path) -> None:
    (tree.root / "etc/out").symlink_to(outside)
    assert tree.remove("etc/*") == 1
    assert (outside / "shadow").exists()
    assert not tree.exists("etc/out")


def test_writing_replaces_a_link_instead_of_writing_through_it(tree: Tree, outside: Path) -> None:
    (tree.root / "etc/motd").symlink_to(outside / "shadow")
    tree.write("etc/motd", b"hello")
    assert (outside / "shadow").read_text() == "host secret"
    assert not (tree.root / "etc/motd").is_symlink()
    assert tree.read("etc/motd") == b"hello"


def test_writing_below_a_link_stays_inside(tree: Tree, outside: Path) -> None:
    (tree.root / "etc/conf").symlink_to(outside)
    with pytest.raises(RequestError, match="not a folder"):
        tree.write("etc/conf/new", b"x")
    assert not (outside / "new").exists()


def test_a_fifo_does_not_hang_a_read(tree: Tree) -> None:
    os.mkfifo(tree.root / "etc/shadow")
    with pytest.raises(RequestError, match="not a regular file"):
        tree.read("etc/shadow")


def test_patterns_match_part_by_part(tree: Tree) -> None:
    for name in ("a1/kernel/x", "a2/kernel/x", "a2/other"):
        (tree.root / "lib" / name).mkdir(parents=True)
    assert tree.glob("lib/*/kernel/x") == ["lib/a1/kernel/x", "lib/a2/kernel/x"]
    assert tree.glob("lib/*/none") == []


def test_a_name_with_a_star_is_written_as_it_is(tree: Tree) -> None:
    (tree.root / "etc/ab").touch()
    tree.write("etc/a*", b"1")
    tree.write("etc/a*", b"2")
    assert tree.names("etc") == ["a*", "ab"]
