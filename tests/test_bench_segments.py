"""A segment is read back as it was written, and its files are sorted into groups."""

import gzip
from pathlib import Path

import pytest
from bench.archive import read_extra, read_segment
from bench.segments import FIRMWARE, SHARED, TABLES, group_of

from muster.host import cpio, process


def test_a_segment_is_read_back(tmp_path: Path) -> None:
    entries = [cpio.folder("a"), cpio.file("a/odd", b"12345"), cpio.file("empty", b""), cpio.link("z", "a/odd")]
    plain = tmp_path / "plain"
    with plain.open("wb") as out:
        cpio.write(out, entries)
    packed = tmp_path / "packed"
    packed.write_bytes(process.run(["zstd", "-q", "-c", plain]).stdout + bytes(300))
    found = [(member.name, member.data) for member in read_segment(packed)]
    assert found == [("a", b""), ("a/odd", b"12345"), ("empty", b""), ("z", b"a/odd")]
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [(member.name, member.data) for member in read_extra(packed)] == found


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("lib/modules/6.1/kernel/drivers/net/ethernet/intel/ice/ice.ko", "Ethernet: Intel"),
        ("lib/modules/6.1/kernel/drivers/net/ethernet/realtek/r8169.ko", "Ethernet: others"),
        ("lib/modules/6.1/kernel/drivers/net/phy/realtek.ko", "network: PHY, USB, virtual"),
        ("lib/modules/6.1/kernel/net/core/failover.ko", SHARED),
        ("lib/modules/6.1/modules.dep", TABLES),
        ("lib/firmware/bnx2/bnx2-mips-09-6.2.1b.fw", FIRMWARE),
    ],
)
def test_groups(name: str, group: str) -> None:
    assert group_of(name) == group
