"""Files of an edited tree that a node does not see: its own copies. What processes hold open needs a server of the
tree that can be asked again, so it is tested with a real one (tests/boots/test_care_tiny.py)."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.conftest import NODE, Rooted

pytestmark = pytest.mark.root

BEFORE, AFTER = 1, 10_000_000_000
"""When the node booted, by the controller's clock: before all edits, or after them."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The editable tree, as the lower layer."""
    tree = tmp_path / "tree"
    for name in ("etc", "srv", "run", "proc", "dev"):
        (tree / name).mkdir(parents=True)
    for name in ("etc/own", "etc/same", "etc/gone", "etc/with a blank", "srv/untouched"):
        (tree / name).write_text("image\n")
    (tree / "etc/link").symlink_to("own")
    return tree


@pytest.fixture
def node(rooted: Rooted, tree: Path) -> Rooted:
    """A node that runs tiny@live: `stale SINCE` as on it. It has made some files its own. The tree has a device number
    of its own, as that of a server has."""
    before = f"""cp {NODE}/stale {NODE}/care.sh $run; echo nfs >$run/mode
mkdir -p $run/lower $run/upper $run/none && mount -t overlay -o lowerdir={tree}:$run/none tree $run/lower
mount -t tmpfs -o size=32m upper $run/upper
mkdir $run/upper/files $run/upper/work
mount -t overlay -o "lowerdir=$run/lower,upperdir=$run/upper/files,workdir=$run/upper/work" root $newroot
cd $newroot/etc && echo mine >own && touch same && rm gone && echo mine >"with a blank" && ln -sf same link
echo mine >new; cd /
stale() {{
    printf 'muster-plan\\t1\\nnow\\t%s\\nimage\\ttiny@live\\n' "$1" >$run/plan
    mount -o rbind /run $newroot/run && mount -t proc proc $newroot/proc && mount -o bind /dev $newroot/dev
    chroot $newroot $run/stale
}}
"""
    return replace(rooted, before=before)


def test_its_own_copies_of_files_that_changed_since_the_boot(node: Rooted) -> None:
    assert node(f"stale {BEFORE}") == ["own /etc/gone", "own /etc/link", "own /etc/own", "own /etc/with a blank"]


def test_what_has_not_changed_since_the_boot_is_not_stale(node: Rooted, tree: Path) -> None:
    assert node(f"stale {AFTER}; echo $?") == ["0"]
    for path in (tree / "etc").iterdir():
        os.utime(path, follow_symlinks=False)  # the dates of a file can be set; that of its change cannot
    assert node(f"stale {AFTER}") == []


def test_the_controllers_clock_decides(node: Rooted, tree: Path) -> None:
    since = int(time.time())
    time.sleep(1.1)
    (tree / "etc/own").write_text("edited\n")
    assert node(f"stale {since}") == ["own /etc/own"]


def test_a_var_of_its_own(node: Rooted, tree: Path) -> None:
    (tree / "var/lib").mkdir(parents=True)
    (tree / "var/lib/data").write_text("image")
    script = f"""mkdir -p $run/var && mount -t tmpfs var $run/var && mkdir $run/var/upper $run/var/work
mount -t overlay -o "lowerdir=$run/lower/var,upperdir=$run/var/upper,workdir=$run/var/work" var $newroot/var
echo "var tmpfs $run/var/upper" >$run/places; echo mine >$newroot/var/lib/data; stale {BEFORE}"""
    assert node(script)[-1] == "own /var/lib/data"


def test_many_are_bounded_and_counted(node: Rooted, tree: Path) -> None:
    for number in range(300):
        (tree / f"srv/{number:03}").write_text("image")
    said = node(f"for n in $(seq -w 0 299); do echo mine >$newroot/srv/$n; done; stale {BEFORE}", timeout=60)
    assert len(said) == 200
    assert said[-1] == "and 105 more"


def test_a_version_is_never_stale(node: Rooted) -> None:
    script = "mkdir -p $run; printf 'image\\ttiny@0123\\n' >$run/plan; busybox sh $run/stale; echo $?"
    assert node(script) == ["this node runs tiny@0123, which never changes", "2"]
