"""Making room on a node: run as on one, inside its root, an overlay over the image."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.conftest import NODE, Rooted

pytestmark = pytest.mark.root

JOURNALCTL = """#!/run/muster/bin/busybox sh
echo "$*" >/run/asked
rm /var/log/journal/m/system@1.journal
"""


@pytest.fixture
def node(rooted: Rooted, tmp_path: Path) -> Rooted:
    """A running node in mode ram; `free` runs the program inside its root. The image has files, too."""
    image = tmp_path / "image"
    for name in ("tmp", "run", "proc", "dev", "etc", "srv", "usr/bin"):
        (image / name).mkdir(parents=True)
    for name in ("tmp", "log/journal/m", "cache/apt/archives"):
        (image / "var" / name).mkdir(parents=True)
    (image / "var/log/old.log.1").write_text("of the image")
    before = f"""cp {NODE}/free $run; echo ram >$run/mode
mkdir -p $run/lower $run/upper && mount -o bind {image} $run/lower && mount -t tmpfs -o size=32m upper $run/upper
mkdir $run/upper/files $run/upper/work
mount -t overlay -o "lowerdir=$run/lower,upperdir=$run/upper/files,workdir=$run/upper/work" root $newroot
free() {{
    mount -o rbind /run $newroot/run && mount -t proc proc $newroot/proc && mount -o bind /dev $newroot/dev
    chroot $newroot $run/free
}}
file() {{ mkdir -p "$newroot/${{1%/*}}"; head -c $(($2 << 10)) /dev/zero >"$newroot/$1"; }}
"""
    return replace(rooted, before=before)


def test_what_can_be_made_again_goes_and_nothing_else(node: Rooted) -> None:
    script = """file tmp/a 1024; file tmp/deep/er/b 100; mkfifo $newroot/tmp/pipe; file var/tmp/c 512
file var/cache/apt/archives/x.deb 2048; file var/cache/apt/archives/lock 4; file var/log/app.log 64
file var/log/app.log.1 128; file var/log/app-20260101 128; file var/log/z.gz 64; file var/lib/systemd/coredump/core 300
file srv/data 700; ln -s /srv/data $newroot/tmp/link
free; echo status $?; cd $newroot && find tmp var srv ! -type d | sort; find tmp -type d | sort"""
    assert node(script) == [
        "/tmp: freed 1124 KiB",
        "/var/tmp: freed 512 KiB",
        "packages (/var/cache/apt/archives): freed 2048 KiB",
        "rotated logs: freed 320 KiB",
        "core dumps (/var/lib/systemd/coredump): freed 300 KiB",
        "in use: 768 KiB of 32 MiB",
        "status 0",
        *("srv/data", "tmp/pipe", "var/cache/apt/archives/lock", "var/log/app.log", "var/log/old.log.1"),
        *("tmp", "tmp/deep", "tmp/deep/er"),
    ]


def test_with_nothing_to_free_the_largest_files_are_named(node: Rooted) -> None:
    make = 'for n in $(seq 1 14); do file "srv/my file $n" $((n * 100)); done; file srv/huge 12288\n'
    said = node(make + "free")
    assert said[:3] == [
        "nothing to free: there is nothing that can be made again",
        "in use: 22 MiB of 32 MiB",
        "the largest files that the node wrote:",
    ]
    sizes = [1400, 1300, 1200, 1100, 1000, 900, 800, 700, 600]
    assert said[3:] == ["12 MiB /srv/huge", *(f"{size} KiB /srv/my file {size // 100}" for size in sizes)]


def test_a_full_upper_layer_is_freed_and_what_stays_is_named(node: Rooted) -> None:
    script = "file srv/data 31744; file tmp/t 200; (file tmp/rest 9999) 2>/dev/null; free"
    assert node(script) == [
        "/tmp: freed 1024 KiB",
        "in use: 31 MiB of 32 MiB",
        *("the largest files that the node wrote:", "31 MiB /srv/data"),
    ]


def test_what_a_process_still_holds_is_named(node: Rooted) -> None:
    script = """file srv/data 31000; file tmp/held 1024
(sleep 9 <$newroot/tmp/held & echo $! >$run/pid); free; cat $run/pid; kill $(cat $run/pid)"""
    *said, pid = node(script)
    assert said[:2] == ["nothing to free: there is nothing that can be made again", "in use: 31 MiB of 32 MiB"]
    assert said[2] == f"removed, but held open by sleep ({pid}): 1024 KiB /tmp/held"


def test_the_journal_keeps_little(node: Rooted) -> None:
    script = f"""cat >$newroot/usr/bin/journalctl <<'E'
{JOURNALCTL}E
chmod +x $newroot/usr/bin/journalctl
file var/log/journal/m/system@1.journal 4096; file var/log/journal/m/system.journal 64; free; cat /run/asked"""
    said = node(script)
    assert "journal (/var/log/journal): freed 4096 KiB" in said
    assert said[-1] == "--rotate --vacuum-size=8M"


def test_a_var_of_its_own(node: Rooted) -> None:
    script = """mkdir -p $run/var && mount -t tmpfs -o size=8m var $run/var && mkdir $run/var/upper $run/var/work
mount -t overlay -o "lowerdir=$run/lower/var,upperdir=$run/var/upper,workdir=$run/var/work" var $newroot/var
echo "var tmpfs $run/var/upper" >$run/places; file var/tmp/c 512; file tmp/d 256; free; ls $newroot/var/tmp"""
    assert node(script)[:2] == ["/tmp: freed 256 KiB", "/var/tmp: freed 512 KiB"]


def test_in_mode_tmpfs_the_root_itself(node: Rooted) -> None:
    script = """umount $newroot; mount -t tmpfs -o size=32m root $newroot && cp -a $run/lower/. $newroot
head -c 999999 /dev/zero >$newroot/srv/image; touch -d '2020-01-01 00:00' $newroot/srv/image
echo tmpfs >$run/mode; echo "image 100" >$run/places; touch -d '2020-01-01 00:01' $run/places
file tmp/a 1024; free; file srv/new 100; free"""
    said = node(script)
    assert said[0] == "/tmp: freed 1024 KiB"
    assert said[-2:] == ["the largest files that the node wrote:", "100 KiB /srv/new"]


def test_who_may_write_to_tmp_cannot_lead_it_astray(node: Rooted) -> None:
    """Links in the place of folders, and names with a line break that look like other paths."""
    script = """file srv/precious 100; file etc/precious 100; ln -s /srv $newroot/tmp/folder
mkdir -p $run/upper/files/tmp/trap && rm -rf $newroot/tmp/trap; mkdir -p "$newroot/tmp/x
./../etc" "$newroot/tmp/x
/etc"; free >/dev/null; ls $newroot/srv $newroot/etc | grep -c precious"""
    assert node(script) == ["2"]


def test_only_root_may(node: Rooted) -> None:
    setpriv = shutil.which("setpriv")
    script = f"{setpriv} --reuid=64321 --clear-groups $run/bin/busybox sh $run/free; echo $?"
    assert node(script) == ["this needs root", "1"]
