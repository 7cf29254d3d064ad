"""Which folders of an editable tree a node takes from the server itself."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.conftest import Rooted

pytestmark = pytest.mark.root


@pytest.fixture
def live(rooted: Rooted, tmp_path: Path) -> Rooted:
    """The new root of tiny@live, with all overlays laid; `taken` tells what lies over its own layer."""
    tree = tmp_path / "tree"
    for name in ("usr/bin", "usr/lib/systemd/system", "usr/lib/modules", "usr/share", "sbin", "etc", "opt", "run"):
        (tree / name).mkdir(parents=True)
    (tree / "usr/lib/systemd/system/ours.service").write_text("image")
    (tree / "bin").symlink_to("usr/bin")
    before = f"""mkdir -p $run/lower $run/upper && mount -o bind,ro {tree} $run/lower && mount -t tmpfs upper $run/upper
mkdir $run/upper/files $run/upper/work; mount -o remount,bind,ro $run/lower
mount -t overlay -o "lowerdir=$run/lower,upperdir=$run/upper/files,workdir=$run/upper/work" root $newroot
taken() {{
    live_prepare
    while read -r _ place _; do
        case $place in "$newroot"/run) ;; "$newroot"/*) echo "${{place#"$newroot"}}" ;; esac
    done </proc/mounts
}}
place_mounts=''
"""
    return replace(rooted, before=before)


def test_programs_are_the_servers_own_and_the_rest_is_the_nodes(live: Rooted) -> None:
    script = "taken; echo x 2>/dev/null >$newroot/usr/bin/new || echo read-only; echo x >$newroot/opt/new; place_undo\n"
    assert live(script + "echo x >$newroot/usr/bin/new; taken") == [
        "/usr",
        "/sbin",
        "read-only",
        "/usr/lib",
        "/usr/share",
        "/sbin",
    ]


def test_where_the_node_has_laid_something_its_own_layer_stays(live: Rooted) -> None:
    script = "echo ours >$newroot/usr/lib/systemd/system/ours.service; taken; cat $newroot/usr/lib/systemd/system/*"
    assert live(script) == ["/usr/bin", "/usr/lib/modules", "/usr/share", "/sbin", "ours"]


def test_what_the_node_replaced_by_a_link_or_removed_stays_so(live: Rooted) -> None:
    script = "rm -r $newroot/usr/share $newroot/sbin; ln -s usr/bin $newroot/sbin; taken"
    assert live(script) == ["/usr/bin", "/usr/lib"]
