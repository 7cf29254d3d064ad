"""Where /tmp and /var lie, and which partitions of a disk are used: with real tmpfs, overlays and loop devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.conftest import Rooted

from muster.host import process

pytestmark = pytest.mark.root

OVERLAY = "lowerdir=$run/lower,upperdir=$run/upper/files,workdir=$run/upper/work"
SWITCH = "mount -o bind /run $newroot/run; PLACE_DISK=0 DISK_SETTLE=0\n"
ROOT = f"""mkdir -p $run/lower $run/upper && mount -o bind "$image" $run/lower
mount -t tmpfs upper $run/upper && mkdir $run/upper/files $run/upper/work
mount -t overlay -o "{OVERLAY}" root $newroot
{SWITCH}"""
"""As mode ram leaves the new root to place_prepare."""
TMPFS = f"""mount -t tmpfs -o size=64m root $newroot && cp -a "$image"/. $newroot
{SWITCH}"""


@pytest.fixture
def place(rooted: Rooted, tmp_path: Path) -> Rooted:
    image = tmp_path / "image"
    for name in ("var/lib/app", "tmp", "run", "mnt", "dev"):
        (image / name).mkdir(parents=True)
    (image / "var/lib/app/data").write_text("image\n")
    (image / "var").chmod(0o711)
    return replace(rooted, before=f"image={image}\n")


def plan(**lines: str) -> str:
    """`disk_scratch` is the line `disk.scratch`."""
    text = "".join(f"{key.replace('_', '.')}\t{value}\n" for key, value in {"mode": "ram", **lines}.items())
    return f"plan_text=$NEWLINE'{text}'\n"


@contextmanager
def loop(path: Path, size: str, *, label: str = "") -> Iterator[str]:
    """A loop device over a new file, with an ext4 of that label."""
    process.run(["truncate", "-s", size, path])
    if label:
        process.run(["mkfs.ext4", "-q", "-L", label, path])
    device = process.run(["losetup", "-f", "--show", path]).text.strip()
    try:
        yield device
    finally:
        process.run(["losetup", "-d", device])


def test_without_settings_nothing_is_done(place: Rooted) -> None:
    said = place(ROOT + plan() + "place_prepare; cat $run/places; grep -c $newroot/ /proc/mounts; place_undo")
    assert said == ["2"]  # the test's own /run, twice


def test_tmp_is_a_tmpfs_of_its_size(place: Rooted) -> None:
    script = 'place_prepare; grep "^muster-tmp" /proc/mounts; mode_is $newroot/tmp; cat $run/places; place_undo'
    mounted, mode, *places = place(ROOT + plan(tmp="tmpfs 16m") + script + "; grep ^muster- /proc/mounts || echo none")
    assert "rw,nosuid,nodev" in mounted
    assert "size=16384k" in mounted
    assert mode == "1777 0:0"
    assert places == ["tmp tmpfs /tmp", "none"]


@pytest.mark.parametrize("mode", ["ram", "tmpfs"])
def test_var_is_an_overlay_over_the_images_own(place: Rooted, mode: str) -> None:
    script = """place_prepare
cat $newroot/var/lib/app/data; mode_is $newroot/var
echo written >$newroot/var/lib/app/data; mkdir $newroot/var/new
grep ^var $run/places; cat $run/var/upper/lib/app/data; stat -f -c %b $run/var
rm -r $newroot/var/lib && ls $newroot/var
place_undo; cat $newroot/var/lib/app/data; ls $newroot/var
"""
    said = place((TMPFS if mode == "tmpfs" else ROOT) + plan(mode=mode, var="tmpfs 16m") + script)
    assert said[:2] == ["image", "711 0:0"]
    assert said[2:5] == ["var tmpfs /run/muster/var/upper", "written", "4096"]
    assert said[5:] == ["new", "image", "lib"]


def test_in_mode_tmpfs_the_image_is_measured(place: Rooted) -> None:
    fill = "head -c 3145728 /dev/zero >$newroot/tmp/part\n"
    (line,) = place(TMPFS + fill + plan(mode="tmpfs") + "place_prepare; cat $run/places")
    word, kilobytes = line.split()
    assert word == "image"
    assert 3072 <= int(kilobytes) < 3200


def test_scratch_by_label_with_tmp_and_var_on_it(place: Rooted, tmp_path: Path) -> None:
    """Two boots: what was written on scratch itself stays, what was in /tmp and /var is gone."""
    write = "echo job >$newroot/scratch/result; echo t >$newroot/tmp/t; echo v >$newroot/var/v; mkdir $newroot/tmp/d\n"
    read = 'ls -A $newroot/tmp $newroot/var; ls -A $newroot/scratch; grep "/scratch " /proc/mounts; cat $run/places\n'
    modes = "mode_is $newroot/tmp; mode_is $newroot/scratch/.muster; place_undo\n"
    left = "grep /scratch\\  /proc/mounts || echo no\n"
    with loop(tmp_path / "disk", "64M", label="muster-t") as device:
        lines = plan(disk_scratch="muster-t /scratch", tmp="disk", var="disk")
        first = place(ROOT + lines + "place_prepare\n" + write)
        second = place(ROOT + lines + "place_prepare\n" + read + modes + left)
    name = device.removeprefix("/dev/")
    assert first == [f"muster: scratch: {name} (muster-t) on /scratch"]
    assert second[1:3] == [
        "muster: emptying /scratch/.muster/var of what the last boot left",
        "muster: emptying /scratch/.muster/tmp of what the last boot left",
    ]
    root = place.root
    assert second[3:10] == [f"{root}/tmp:", "", f"{root}/var:", "lib", ".muster", "lost+found", "result"]
    assert "rw,nosuid,nodev" in second[10]
    assert second[11:] == [
        *("scratch /scratch", "var disk /scratch/.muster/var/upper", "tmp disk /tmp"),
        *("1777 0:0", "700 0:0", "no"),
    ]


def test_a_folder_of_somebody_else_is_not_emptied(place: Rooted, tmp_path: Path) -> None:
    """Who may write to scratch must not be able to lead the emptying astray."""
    lines = plan(disk_scratch="muster-t /scratch", tmp="disk")
    trap = "mkdir -p $newroot/scratch/tmp; echo precious >$newroot/scratch/tmp/file; rm -rf $newroot/scratch/.muster\n"
    with loop(tmp_path / "disk", "64M", label="muster-t"):
        place(ROOT + lines + "place_prepare\n" + trap + "ln -s . $newroot/scratch/.muster; place_undo")
        linked = place(ROOT + lines + "place_prepare; cat $newroot/scratch/tmp/file")
        remade = (
            "place_prepare\n" + trap + "mkdir -p $newroot/scratch/.muster/tmp/x; chown 99 $newroot/scratch/.muster\n"
        )
        place(ROOT + lines + remade + "place_undo")
        owned = place(ROOT + lines + "place_prepare; ls $newroot/scratch/.muster/tmp")
    warning = "warning: /tmp stays in the root: /scratch/.muster is not a folder of root's"
    assert linked[1:] == [warning, "precious"]
    assert owned[1:] == [warning, "x"]


def test_what_is_missing_is_a_warning_and_the_boot_goes_on(place: Rooted) -> None:
    lines = plan(disk_scratch="absent /scratch", disk_swap="absent-swap", tmp="disk", var="disk")
    said = place(ROOT + lines + "place_prepare; echo on; cat $newroot/var/lib/app/data $run/places; place_undo")
    assert said == [
        "warning: no swap: no partition or file system has the label absent-swap",
        "warning: no scratch: no partition or file system has the label absent",
        "warning: /var stays in the root: no scratch partition is in use",
        "warning: /tmp stays in the root: no scratch partition is in use",
        *("on", "image"),
    ]


def test_what_is_no_file_system_or_swap_is_a_warning(place: Rooted, tmp_path: Path) -> None:
    """Found by its name in a GPT, and unusable."""
    with loop(tmp_path / "disk", "16M") as device:
        name = device.removeprefix("/dev/")
        sys = fake_partitions(tmp_path, {name: "broken"})
        said = place(ROOT + sys + plan(disk_scratch="broken /scratch", disk_swap="broken") + "place_prepare")
    assert said == [
        f"warning: no swap: {name} cannot be used: Invalid argument",
        f"warning: no scratch: {name} cannot be mounted: Invalid argument",
    ]


def test_a_name_that_two_partitions_have_is_nobodys(place: Rooted, tmp_path: Path) -> None:
    sys = fake_partitions(tmp_path, {"sda1": "scratch", "sdb1": "scratch", "sdc1": "other"})
    assert place(ROOT + sys + plan(disk_scratch="scratch /scratch") + "place_prepare") == [
        "warning: no scratch: the label scratch is on sda1 and on sdb1"
    ]


def test_settings_of_a_later_release_are_warnings(place: Rooted) -> None:
    assert place(ROOT + plan(tmp="cloud", var="cloud") + "place_prepare") == [
        "warning: /var stays in the root: this node's software does not know 'cloud'",
        "warning: /tmp stays in the root: this node's software does not know 'cloud'",
    ]


def fake_partitions(tmp_path: Path, names: dict[str, str]) -> str:
    """Script that puts partitions with these GPT names where the kernel shows them."""
    sys = tmp_path / "class"
    for name, label in names.items():
        (sys / name).mkdir(parents=True)
        (sys / name / "partition").write_text("1\n")
        (sys / name / "uevent").write_text(f"MAJOR=8\nDEVTYPE=partition\nPARTN=1\nPARTNAME={label}\n")
    return f"mount -o bind {sys} /sys/class/block\n"


Attributes = dict[str, str]
DISK: Attributes = {"removable": "0", "size": "614400", "ro": "0", "hidden": "0"}


def fake_disks(tmp_path: Path, disks: dict[str, Attributes]) -> str:
    """Script that puts these disks, with files of sysfs, where the kernel shows its own; none has partitions."""
    sys = tmp_path / "block"
    sys.mkdir()
    for name, attributes in disks.items():
        (sys / name / "device").mkdir(parents=True)
        for attribute, text in {**DISK, **attributes}.items():
            (sys / name / attribute).parent.mkdir(exist_ok=True)
            (sys / name / attribute).write_text(f"{text}\n", encoding="latin-1")
    (tmp_path / "class").mkdir()
    return f"mount -o bind {sys} /sys/block; mount -o bind {tmp_path}/class /sys/class/block\n"


CHOICES = [
    ("only", {"vda": {}}, "vda"),
    ("only", {"vda": {}, "sr0": {}, "sdb": {"removable": "1"}, "sdc": {"size": "0"}}, "vda"),
    ("only", {"nvme0n1": {}, "nvme0c0n1": {"hidden": "1"}}, "nvme0n1"),
    ("only", {"vda": {}, "vdb": {}}, "more than one disk fits 'only': vda and vdb"),
    ("only", {}, "no disk fits 'only'"),
    ("serial:B-2", {"vda": {"serial": "A-1"}, "vdb": {"serial": "B-2"}}, "vdb"),
    ("serial:B-2", {"nvme0n1": {"device/serial": "B-2           "}}, "nvme0n1"),
    ("serial:WD_X_7", {"sda": {"device/vpd_pg80": "\0\x80\0\x08  WD  X 7 "}}, "sda"),
    ("serial:B", {"vda": {"serial": "B-2"}}, "no disk fits 'serial:B'"),
    ("serial:B-2", {"sda": {"serial": "B-2"}, "sdb": {"serial": "B-2"}}, "more than one disk fits 'serial:B-2'"),
    ("wwid:naa.5000c5", {"sda": {"device/wwid": "naa.5000c5"}, "sdb": {"device/wwid": "naa.5"}}, "sda"),
    ("wwid:t10.ATA_____QEMU_X", {"sda": {"device/wwid": "t10.ATA     QEMU X"}}, "sda"),
    ("size:8g", {"vda": {}}, "no disk fits 'size:8g'"),
]


@pytest.mark.parametrize(("selector", "disks", "chosen"), CHOICES)
def test_the_disk_that_a_selector_means(
    place: Rooted, tmp_path: Path, selector: str, disks: dict[str, Attributes], chosen: str
) -> None:
    sys = fake_disks(tmp_path, disks)
    said = place(ROOT + sys + f"disk_selector='{selector}'; disk_choose && echo $disk || echo $disk_error")
    assert said[0].startswith(chosen)


SFDISK = 'kit() { [ "$1" = sfdisk ] || return; shift; echo "sfdisk $*"; cat; false; } >>$run/kit 2>&1\n'
MAKE = "disk_make 'only 32m'; [ ! -e $run/kit ] || cat $run/kit"


@pytest.mark.parametrize(
    ("write", "attributes", "why"),
    [
        ({0: b"\1"}, {}, "is not blank"),
        ({1048575: b"\1"}, {}, "is not blank"),
        ({-1: b"\1"}, {}, "is not blank"),
        ({-1048576: b"\1"}, {}, "is not blank"),
        ({}, {"ro": "1"}, "is read-only"),
        ({}, {"holders/md0": ""}, "is in use"),
        ({}, {"size": "90000"}, "has 43 MiB, which is too little for swap of 32 MiB and scratch"),
        ({}, {"size": "700000"}, "is not blank"),  # its end cannot be read: not known to be zero
    ],
)
def test_no_disk_is_touched_in_doubt(
    place: Rooted, tmp_path: Path, write: dict[int, bytes], attributes: Attributes, why: str
) -> None:
    with loop(tmp_path / "disk", "300M") as device:
        with (tmp_path / "disk").open("r+b") as disk:
            for offset, data in write.items():
                disk.seek(offset, 2 if offset < 0 else 0)
                disk.write(data)
        name = device.removeprefix("/dev/")
        sys = fake_disks(tmp_path, {name: attributes})
        said = place(ROOT + sys + SFDISK + plan(disk_scratch="scratch /s", disk_swap="swap") + MAKE)
    assert said == [f"warning: no disk is made: {name} {why}"]


def test_a_disk_with_partitions_of_others_is_left_alone(place: Rooted, tmp_path: Path) -> None:
    with loop(tmp_path / "disk", "300M") as device:
        name = device.removeprefix("/dev/")
        parts = {f"{name}/{name}p1/partition": "1", f"{name}/{name}p1/uevent": "PARTNAME=windows"}
        sys = fake_disks(tmp_path, {name: {}, f"{name}/{name}p1": {}})
        for path, text in parts.items():
            (tmp_path / "block" / path).write_text(f"{text}\n")
        said = place(ROOT + sys + SFDISK + plan(disk_scratch="scratch /s", disk_swap="swap") + MAKE)
    assert said == [f"warning: no disk is made: {name} is not blank: it has partitions that are not ours"]


def test_the_table_of_a_blank_disk(place: Rooted, tmp_path: Path) -> None:
    with loop(tmp_path / "disk", "300M") as device:
        name = device.removeprefix("/dev/")
        sys = fake_disks(tmp_path, {name: {}})
        said = place(ROOT + sys + SFDISK + plan(disk_scratch="data /s", disk_swap="swap") + MAKE)
    assert said == [
        f"muster: disk {name} is blank: making 32 MiB of swap and 268 MiB of scratch on it",
        f"warning: no disk is made: {name}: sfdisk failed",
        f"sfdisk -q --wipe never {device}",
        "label: gpt",
        'size=32MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, name="swap"',
        'type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="data"',
    ]


def test_a_disk_made_before_is_left_as_it_is(place: Rooted, tmp_path: Path) -> None:
    """Whatever the selector says now: a second disk was put in since."""
    with loop(tmp_path / "disk", "64M", label="muster-t"):
        sys = fake_disks(tmp_path, {"vda": {}, "vdb": {}})
        assert place(ROOT + sys + SFDISK + plan(disk_scratch="muster-t /s") + MAKE) == []
