"""What heartbeats tell of memory, limits and troubles, measured on real tmpfs; the limit of the upper layer."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.conftest import NODE, Rooted

pytestmark = pytest.mark.root

KERNEL = """\
[    1.000000] device-mapper: verity: sha256 using implementation "sha256-ni"
[   90.100000] device-mapper: verity: 7:0: data block 12 is corrupted
[   90.200000] device-mapper: verity: 7:0: data block 12 is corrupted
[   91.000000] device-mapper: verity: 7:0: metadata block 12 is corrupted
[   92.000000] device-mapper: verity: 7:1: data block 99 is corrupted
[   93.000000] device-mapper: verity: 7:0: reached maximum errors
[   94.000000] sshd: device-mapper: verity: 7:0: data block x is corrupted
"""
"""As `dmesg` of Linux 6.1 prints it (drivers/md/dm-verity-target.c)."""


@pytest.fixture
def care(rooted: Rooted) -> Rooted:
    """A node in mode ram with an upper layer of 16 MiB and an image of 2 MiB, before its first heartbeat."""
    before = f""". {NODE}/care.sh
log() {{ echo "log: $1"; }}
dmesg() {{ cat $run/kernel 2>/dev/null; }}
plan_text="${{NEWLINE}}image${{TAB}}tiny@0123${{NEWLINE}}digest${{TAB}}00ff${{NEWLINE}}upper${{TAB}}16m$NEWLINE"
mkdir $run/upper $run/ram && mount -t tmpfs -o size=16m,mode=711 upper $run/upper
echo ram >$run/mode; head -c 2097152 /dev/zero >$run/ram/root.squashfs
fill() {{ head -c $(($1 << 20)) /dev/zero >$run/upper/file; }}
tell() {{ care_look; printf '%s' "$care_words"; }}
troubles() {{ care_look; printf '%s' "$care_words" | grep ^trouble | cut -f 2; }}
limit() {{ stat -f -c %b $run/upper; }}
"""
    return replace(rooted, before=before)


def words(lines: list[str]) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in lines)


def test_what_the_node_costs(care: Rooted) -> None:
    said = words(care("care_load; fill 4; tell"))
    own = int(said.pop("ram-own"))
    assert said == {
        "mode": "ram",
        "image": "tiny@0123",
        "plan-digest": "00ff",
        "ram-image": "2048",
        "ram-upper": "4096",
        "upper-limit": "16384",
    }
    assert own > 1000  # busybox, and in this test all of /run


def test_places_of_their_own_are_told_apart(care: Rooted, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    script = f"""mount -t tmpfs -o size=4m tmp {tmp_path}/tmp && head -c 1048576 /dev/zero >{tmp_path}/tmp/file
mkdir -p $run/var && mount -t tmpfs -o size=4m var $run/var && mkdir $run/var/upper
printf '%s\\n' "tmp tmpfs {tmp_path}/tmp" "var tmpfs $run/var/upper" >$run/places
care_load; tell; head -c 4100000 /dev/zero >$run/var/upper/log; troubles"""
    *told, trouble = care(script)
    assert words(told)["ram-placed"] == "1024"
    assert words(told)["ram-upper"] == "0"
    assert trouble == "/var is full: 3 of 4 MiB"


def test_scratch_counts_when_tmp_or_var_lie_on_it(care: Rooted, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    script = f"""mount -t tmpfs -o size=4m scratch {tmp_path}/scratch && head -c 4100000 /dev/zero >{tmp_path}/scratch/f
echo "scratch {tmp_path}/scratch" >$run/places; care_load; troubles; echo --
echo "tmp disk /tmp" >>$run/places; care_load; troubles; tell | grep placed || echo on no memory"""
    assert care(script) == ["--", f"{tmp_path}/scratch is full: 3 of 4 MiB", "on no memory"]


def test_full_from_95_percent_until_there_is_room(care: Rooted) -> None:
    script = "care_load; fill 15; echo 15; troubles; fill 16 2>/dev/null; echo 16; troubles; fill 15; echo; troubles"
    assert care(script) == ["15", "16", "the upper layer is full: 16 of 16 MiB", ""]


def test_in_mode_tmpfs_the_image_is_no_part_of_the_limit(care: Rooted) -> None:
    script = """echo tmpfs >$run/mode; fill 4; echo "image 4096" >$run/places; care_load; care_upper=$run/upper
head -c 1048576 /dev/zero >$run/upper/new; tell; care_resize 8m; limit; care_resize 20m; limit"""
    *told, _, eight, _, twenty = care(script)
    said = words(told)
    assert [said[key] for key in ("ram-image", "ram-upper", "upper-limit")] == ["4096", "1024", "12288"]
    assert (eight, twenty) == (str((4 + 8) * 256), str((4 + 20) * 256))


def test_the_limit_follows_the_controller(care: Rooted) -> None:
    script = """care_load; care_look
care_resize 16m; care_resize 32m; limit; care_resize 32m; care_look; care_resize 1%; limit
care_look; care_resize 8m; grep " $run/upper " /proc/mounts"""
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    said = care(script)
    assert said[:2] == ["log: upper: the limit is 32 MiB, 32m is wanted", "8192"]
    assert said[2] == f"log: upper: the limit is {memory // 100} MiB, 1% is wanted"
    assert abs(int(said[3]) // 256 - memory // 100) <= 1
    assert "mode=711" in said[5]


def test_the_limit_goes_down_to_what_is_used_and_further_later(care: Rooted) -> None:
    script = """care_load; fill 12; care_look; care_resize 8m; limit; troubles; care_resize 8m
fill 2; care_look; care_resize 8m; limit; care_look; care_resize 8m"""
    assert care(script) == [
        *("log: upper: the limit is 12 MiB, 8m is wanted", str(12 * 256)),
        "the upper layer is full: 12 of 12 MiB",
        *("log: upper: the limit is 8 MiB, 8m is wanted", str(8 * 256)),
    ]


@pytest.mark.parametrize("size", ["0", "0%", "101%", "200%", "10", "-1m", "9g,mode=777", "1e9m", "m", "%", "9999999m"])
def test_no_other_size_is_taken(care: Rooted, size: str) -> None:
    assert care(f"care_load; care_look; care_resize '{size}'; limit") == [
        f"log: upper: '{size}' is no size",
        "4096",
    ]


def test_each_damaged_block_is_told_once_and_kept(care: Rooted) -> None:
    script = f"""echo '7:0 tiny@0123' >$run/verity; care_load; cat >$run/kernel <<'KERNEL'
{KERNEL}KERNEL
troubles; : >$run/kernel; echo again; troubles"""
    data, tree = "image tiny@0123: block 12 is damaged", "image tiny@0123: block 12 of its hash tree is damaged"
    assert care(script) == [f"log: {data}", f"log: {tree}", data, tree, "again", data, tree]


def test_without_verity_the_kernel_log_is_not_read(care: Rooted) -> None:
    assert care(f"echo '{KERNEL}' >$run/kernel; care_load; troubles; echo none") == ["none"]


def test_troubles_are_bounded_and_the_rest_is_counted(care: Rooted) -> None:
    script = """echo '7:0 tiny@0123' >$run/verity; printf '%s\\n' "no swap" "no * scratch" >$run/warnings
care_load; log() { :; }; for block in $(seq 1 $1)
do echo "verity: 7:0: data block $block is corrupted"; done >$run/kernel
troubles"""
    blocks = [f"image tiny@0123: block {number} is damaged" for number in range(1, 8)]
    assert care(script.replace("$1", "6")) == [*blocks[:6], "no swap", "no * scratch"]
    assert care(script.replace("$1", "150")) == [*blocks, "and 95 more"]


def test_a_long_warning_is_cut(care: Rooted) -> None:
    (said,) = care("head -c 1000 /dev/zero | tr '\\0' x >$run/warnings; care_load; troubles")
    assert said == "x" * 190
