"""The newest kernel is newest by number."""

import itertools
import shutil
from pathlib import Path

import pytest

from muster.host import process
from muster.images import kernel
from muster.images.tree import Tree
from muster.model.errors import RequestError

ORDER = ["5.10.0-30-amd64", "6.1.0~rc2-1", "6.1.0-9-amd64", "6.1.0-40-amd64", "6.1.10-1-amd64", "6.12.3+deb13-amd64"]


def make(tmp_path: Path, *releases: str) -> Tree:
    for release in releases:
        (tmp_path / f"lib/modules/{release}").mkdir(parents=True)
        (tmp_path / "boot").mkdir(exist_ok=True)
        (tmp_path / f"boot/vmlinuz-{release}").write_text(release)
    return Tree(tmp_path)


def test_40_is_newer_than_9(tmp_path: Path) -> None:
    tree = make(tmp_path, "6.1.0-9-amd64", "6.1.0-40-amd64")
    assert kernel.choose(tree) == ("6.1.0-40-amd64", "boot/vmlinuz-6.1.0-40-amd64")


def test_a_release_candidate_is_older_than_its_release() -> None:
    assert kernel.compare("6.12-rc3-amd64", "6.12-amd64") < 0
    assert kernel.compare("6.12-rc3-amd64", "6.11.9-amd64") > 0


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is the judge")
def test_the_order_is_dpkgs() -> None:
    for left, right in itertools.product(ORDER, ORDER):
        says = process.run(["dpkg", "--compare-versions", left, "lt", right], check=False).status == 0
        assert (kernel.compare(left, right) < 0) is says, (left, right)


def test_two_flavours_of_the_newest_need_a_word(tmp_path: Path) -> None:
    tree = make(tmp_path, "6.1.0-40-amd64", "6.1.0-40-cloud-amd64", "6.1.0-9-rt-amd64")
    with pytest.raises(RequestError, match=r"6\.1\.0-40-amd64, 6\.1\.0-40-cloud-amd64.*\n.*--kernel"):
        kernel.choose(tree)
    assert kernel.choose(tree, "6.1.0-40-cloud-amd64")[0] == "6.1.0-40-cloud-amd64"


def test_a_kernel_without_its_modules_does_not_count(tmp_path: Path) -> None:
    tree = make(tmp_path, "6.1.0-9-amd64")
    (tmp_path / "boot/vmlinuz-6.1.0-40-amd64").touch()
    assert kernel.choose(tree)[0] == "6.1.0-9-amd64"


def test_a_kernel_beside_its_modules_is_found(tmp_path: Path) -> None:
    (tmp_path / "lib/modules/6.4.0").mkdir(parents=True)
    (tmp_path / "lib/modules/6.4.0/vmlinuz").touch()
    assert kernel.choose(Tree(tmp_path)) == ("6.4.0", "lib/modules/6.4.0/vmlinuz")


def test_no_kernel_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="boot/vmlinuz-RELEASE"):
        kernel.choose(Tree(tmp_path))
    with pytest.raises(RequestError, match="no kernel '7'"):
        kernel.choose(make(tmp_path, "6.1.0-9-amd64"), "7")
