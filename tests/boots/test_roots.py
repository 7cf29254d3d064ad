"""One version, every root, at once: four nodes hold the same image in RAM, unpacked, over NFS, and as it is edited.

Each is looked at as a user would, then it is seen what happens when a layer is full, an image is damaged, and every
server is gone.
"""

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from muster.host import process
from tests.boots.conftest import IMAGE, RunningLab

pytestmark = [pytest.mark.root, pytest.mark.boot]
LAB_OPTIONS = ["--nodes", "4", "--firmware", "bios", "--memory", "768,1024,768,768", "--disk", "1g,none,none,none"]

RAM, TMPFS, NFS, LIVE = ADDRESSES = [f"10.77.0.1{number}" for number in range(1, 5)]
ROOTS = {"n1": "ram", "n2": "tmpfs", "n3": "nfs", "n4": "nfs"}
MACS = [f"52:54:00:4d:00:0{number}" for number in range(1, 5)]
FILES = "usr/local/share/muster-test"
DATA = "srv/muster-test"
"""A folder that a live node may write in: its /usr is the tree's own."""

PACKED_AT = 1_700_000_000
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
RANDOM = random.Random(4).randbytes(1 << 20)
"""A file that cannot be compressed: its bytes can be found in the squashfs."""

DISK = "disk.make.disk=only disk.make.swap_size=128m disk.swap=swap tmp.on=disk"


def prepare_tree(tree: Path) -> None:
    """Files with everything that a root can lose, and early overrides for each machine; the same at each run."""
    place, program = tree / FILES, tree / "usr/local/bin/reads-all"
    place.mkdir(parents=True)
    for name in ("closed", "shared", "one"):
        (place / name).write_text(f"{name}\n")
    data = tree / DATA
    data.mkdir(parents=True)
    for name in ("edited", "replaced", "own"):
        (data / name).write_text(f"{name}\n")
    (place / "two").hardlink_to(place / "one")
    (place / "random").write_bytes(RANDOM)
    with (place / "sparse").open("wb") as file:
        file.truncate(8 << 20)
        file.write(b"begin")
    program.write_bytes((tree / "usr/bin/cat").read_bytes())
    program.chmod(0o755)
    for name in ("closed", "shared"):
        (place / name).chmod(0o600)
    process.run(["setfacl", "--modify", "user:65534:r", place / "shared"])
    process.run(["setcap", "cap_dac_read_search+ep", program])
    overlays = tree / "etc/overlays"
    for mac in MACS:
        (overlays / mac / "etc").mkdir(parents=True)
        (overlays / mac / "etc/early").write_text(f"for {mac}\n")
    (overlays / f"{MACS[0]}.tar.gz").write_text("no archive\n")
    made = [
        *place.rglob("*"),
        *data.rglob("*"),
        data,
        data.parent,
        *overlays.rglob("*"),
        place,
        program,
        program.parent,
        place.parent,
        overlays,
        tree / "etc",
    ]
    process.run(["touch", "--no-dereference", f"--date=@{PACKED_AT}", *made])


@pytest.fixture(scope="module")
def ready(lab: RunningLab) -> RunningLab:
    lab.muster("image", "live", IMAGE)
    lab.muster("profile", "set", "default", "upper_size=64m", "--yes")
    for name, root in ROOTS.items():
        lab.muster("node", "set", name, f"root={root}", "--yes")
    lab.muster("node", "set", "n1", *DISK.split(), "--yes")
    lab.muster("node", "set", "n4", f"image={IMAGE}@live", "--yes")
    lab.muster("node", "power", "n[1-4]", "on")
    lab.until_ready(*ROOTS)
    return lab


@dataclass(frozen=True)
class Hurt:
    """What was seen right after n1's layer was filled and a bit of its image flipped; `block` is the damaged one."""

    filling: str
    reading: str
    block: int


@pytest.fixture(scope="module")
def hurt(ready: RunningLab) -> Hurt:
    """Done once, before all other tests, because a node may take most of a minute until it next tells how it is."""
    version = ready.rows("node", "list", "n1")[0]["version"]
    blob = json.loads(ready.muster("image", "show", version, "-o", "json"))["root"]["sha256"]
    place = (ready.paths.blobs / "sha256" / blob).read_bytes().index(RANDOM[: 1 << 16]) + 5000
    filling = ready.ssh(RAM, "dd if=/dev/zero of=/var/tmp/fill bs=1M 2>&1; true")
    flipped = f"\\{RANDOM[5000] ^ 1:03o}"
    reading = ready.ssh(
        RAM,
        f"printf '{flipped}' | dd of=/run/muster/ram/root.squashfs bs=1 seek={place} conv=notrunc 2>/dev/null;"
        f"echo 3 >/proc/sys/vm/drop_caches; cat /{FILES}/random 2>&1 >/dev/null; true",
    )
    return Hurt(filling, reading, place // 4096)


def test_a_full_layer_is_an_error_for_who_writes_and_the_node_can_be_reached(ready: RunningLab, hurt: Hurt) -> None:
    assert "No space left on device" in hurt.filling
    assert ready.ssh(RAM, "systemctl is-system-running").strip() == "running"


def test_a_flipped_bit_is_an_io_error_and_never_wrong_data(hurt: Hurt) -> None:
    assert "Input/output error" in hurt.reading


def test_the_list_tells_mode_version_and_what_each_costs(ready: RunningLab) -> None:
    rows = {row["name"]: row for row in ready.rows("node", "list")}
    assert {name: row["mode"] for name, row in rows.items()} == ROOTS
    assert {row["running"] for name, row in rows.items() if name != "n4"} == {rows["n1"]["version"]}
    assert rows["n4"]["running"] == f"{IMAGE}@live"
    assert rows["n3"]["ram"] + 32 < rows["n1"]["ram"] < rows["n2"]["ram"]
    assert all(row["reboot"] == [] for row in rows.values())


@pytest.mark.parametrize("address", [RAM, TMPFS, NFS])
def test_what_a_file_is_besides_its_bytes_is_kept(ready: RunningLab, address: str) -> None:
    said = ready.ssh(
        address,
        f"cd /{FILES}; {NOBODY} reads-all closed; {NOBODY} cat closed 2>/dev/null || echo refused;"
        f"{NOBODY} cat shared; [ one -ef two ] && stat -c 'links %h' one; stat -c '%s %b' sparse",
    ).splitlines()
    assert said[:4] == ["closed", "refused", "shared", "links 2"]
    size, blocks = map(int, said[4].split())
    assert size == 8 << 20
    if address == TMPFS:
        assert blocks * 512 <= 1 << 17


@pytest.mark.parametrize(("address", "mac"), list(zip(ADDRESSES, MACS, strict=True)))
def test_the_images_own_early_overrides_are_laid(ready: RunningLab, address: str, mac: str) -> None:
    assert ready.ssh(address, "cat /etc/early").strip() == f"for {mac}"


def test_a_disk_is_made_and_used_as_told(ready: RunningLab) -> None:
    said = ready.ssh(RAM, "findmnt -no FSTYPE -T /tmp; findmnt -no FSTYPE /scratch; swapon --show=SIZE --noheadings")
    assert said.split() == ["ext4", "ext4", "128M"]


def test_nothing_of_the_way_to_the_image_is_left_in_an_unpacked_root(ready: RunningLab) -> None:
    said = ready.ssh(
        TMPFS, "findmnt -no FSTYPE /; ls -d /sys/block/dm-* 2>/dev/null; grep -c ' nfs4\\? ' /proc/mounts; true"
    )
    assert said.split() == ["tmpfs", "0"]


def test_an_edit_shows_on_a_live_node_and_who_holds_an_older_file_is_named(ready: RunningLab) -> None:
    assert ready.ssh(LIVE, f"cd /{DATA}; cat edited replaced; echo mine >>own").split() == ["edited", "replaced"]
    (ready.tree / DATA / "edited").write_text("again\n")
    (ready.tree / DATA / "own").write_text("theirs\n")
    (ready.tree / DATA / "new").write_text("another\n")
    (ready.tree / DATA / "new").rename(ready.tree / DATA / "replaced")
    both = f"cat /{DATA}/edited /{DATA}/replaced 2>/dev/null; true"
    ready.until(lambda: ready.ssh(LIVE, both).split() == ["again", "another"], "the edits show on n4", 30)
    said = ready.muster("image", "stale", IMAGE)
    assert f"/{DATA}/own" in said and "n4" in said
    assert f"/{DATA}/edited" not in said
    assert ready.ssh(LIVE, f"tail -n 1 /{DATA}/own").strip() == "mine"


def test_a_changed_setting_is_told_as_a_reboot_and_taken_back_as_none(ready: RunningLab) -> None:
    ready.muster("profile", "set", "default", "kernel_arguments=quiet", "--yes")
    assert all("arguments" in row["reboot"] for row in ready.rows("node", "list"))
    ready.muster("profile", "set", "default", "kernel_arguments=", "--yes")
    assert all(row["reboot"] == [] for row in ready.rows("node", "list"))


def test_trouble_is_told_and_room_can_be_made(ready: RunningLab, hurt: Hurt) -> None:
    def trouble() -> str:
        return str(ready.node("n1")["trouble"])

    ready.until(lambda: "the upper layer is full" in trouble(), "n1 tells that its layer is full", 90)
    ready.until(lambda: f": block {hurt.block} is damaged" in trouble(), "n1 names the damaged block", 90)
    status = ready.muster("status")
    assert f"image {ready.node('n1')['running']}: block {hurt.block} is damaged" in status
    assert f"{MACS[0]}.tar.gz" in status
    assert "/var/tmp: freed" in ready.muster("node", "free", "n1")
    ready.until(lambda: "the upper layer is full" not in trouble(), "n1 tells that there is room", 90)


def test_with_every_server_gone_nodes_run_on_and_report_again(ready: RunningLab) -> None:
    """n3 reads its image's file while nobody can give it: it waits, and has the right bytes when the server is back."""
    tool = "/run/muster/bin/busybox"
    read_later = f'while {tool} netstat -tn | {tool} grep -q ":2049 .*ESTABLISHED"; do {tool} sleep 0.2; done;'
    read_later += "read from _ </proc/uptime; echo 3 >/proc/sys/vm/drop_caches;"
    read_later += f"sum=$(sha256sum </{FILES}/random); read to _ </proc/uptime; echo $from $to $sum >/run/waited"
    ready.ssh(NFS, f"setsid sh -c '{read_later}' >/dev/null 2>&1 </dev/null & sleep 1")  # all of it is under way
    ready.lab("controller", "stop")
    gone = time.monotonic()
    assert ready.refused("node", "list")[0] == 3
    for address in (RAM, TMPFS):
        said = ready.ssh(address, "echo 3 >/proc/sys/vm/drop_caches; factor 1234567; systemctl is-system-running")
        assert said.split() == ["1234567:", "127", "9721", "running"]
    time.sleep(max(0.0, 12 - (time.monotonic() - gone)))
    ready.lab("controller", "start")
    back = time.monotonic()
    ready.until(lambda: _heard_since(ready, back), "all nodes report again", 90)
    begun, ended, digest, _ = ready.ssh(NFS, "until [ -s /run/waited ]; do sleep 1; done; cat /run/waited").split()
    assert float(ended) - float(begun) > 3, "the server was there all the time"
    assert digest == process.run(["sha256sum"], stdin=RANDOM).text.split()[0]
    assert ready.ssh(LIVE, "hostname").strip() == "n4"


def _heard_since(lab: RunningLab, moment: float) -> bool:
    rows = lab.rows("node", "list")
    passed = time.monotonic() - moment
    return all(row["state"] == "ready" and row["heard"] is not None and row["heard"] < passed for row in rows)


@pytest.mark.soak
def test_each_node_goes_down_when_it_is_told_to(ready: RunningLab) -> None:
    """Last of all: no network manager, unmounting or detaching takes a root away from under its own shutdown."""
    for address in ADDRESSES:
        ready.ssh(address, "systemd-run --quiet --on-active=1 systemctl poweroff")
    ready.until(
        lambda: all(row["power"] == "off" for row in ready.rows("lab", "status", "--name", ready.name)), "off", 120
    )
    for name in ROOTS:
        last = ready.console(name).rpartition("login:")[2]
        assert "reboot: Power down" in last, last
        assert not [words for words in ("not responding", "timed out", "stop job", "I/O error") if words in last], last
