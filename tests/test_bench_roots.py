"""What bench.roots computes from what machines say."""

import pytest
from bench import gauge
from bench.gauge import Gauge, Peak
from bench.roots import Figures, markdown, parts
from bench.smallest import smallest

SAID = """\
ffffffff82a09800 B vm_node_stat
ffffffff82a09980 B vm_zone_stat
nr_free_pages
nr_zone_write_pending
numa_hit
nr_inactive_anon
nr_active_anon
nr_inactive_file
nr_active_file
nr_unevictable
nr_slab_reclaimable
MemTotal:         995612 kB
"""


def test_counters_are_found_by_the_kernels_own_list() -> None:
    assert gauge.parse(SAID) == Gauge(zones=0x2A09980, nodes=0x2A09800, file=(2, 3), slab=5, total=248903)


@pytest.mark.parametrize("said", ["", SAID.replace("ffffffff82a09980", "0" * 16), SAID.replace("MemTotal", "Total")])
def test_a_kernel_that_does_not_tell_is_an_error(said: str) -> None:
    with pytest.raises(LookupError):
        gauge.parse(said)


def test_held_is_what_is_neither_free_nor_droppable() -> None:
    one = gauge.parse(SAID)
    assert one.held(200_000, [7, 7, 1000, 2000, 7, 3000]) == 248_903 - 206_000
    assert one.held(300_000, [0] * 6) is None
    assert one.held(0, [0] * 6) is None
    assert one.held(1000, [0, 0, -5, 0, 0, 0]) is None


def test_a_peak_begins_when_the_kernel_has_counted_its_ram() -> None:
    peak = Peak()
    for held in (None, 100_000, 50_000, 7_000, 20_000, 12_000):
        peak.see(held)
    assert peak.pages == 20_000


@pytest.mark.parametrize("least", [*range(12), 99])
@pytest.mark.parametrize("guess", [0, 50, 75, 1000])
def test_the_smallest_is_found_whatever_was_guessed(least: int, guess: int) -> None:
    sizes = range(0, 100, 10)
    tried: list[int] = []

    def works(size: int) -> bool:
        assert size not in tried, "a try is a boot"
        tried.append(size)
        return size >= least * 10

    assert smallest(sizes, guess, works) == (least * 10 if least < 10 else None)
    assert len(tried) <= 8


def dropped(stays: int, **kib: float) -> dict[str, float]:
    """What a machine of 1000 MiB says when `stays` MiB cannot be dropped."""
    keys = ["Shmem", "AnonPages", "Cached", "Buffers", "Slab", "VmallocUsed", "PageTables", "Percpu"]
    parts = {f"dropped.{key}": kib.get(key, 0.0) for key in keys}
    return {**parts, "dropped.MemTotal": 1000 * 1024, "dropped.MemFree": (1000 - stays - 3) * 1024, "lists": 3 * 1024}


def test_the_parts_are_what_the_others_have_more_than_the_control() -> None:
    disk = Figures("disk", read=dropped(69, Shmem=1024, Slab=20 * 1024))
    ram = Figures("`ram`", read=dropped(118, Shmem=48 * 1024, Cached=48 * 1024, Slab=21 * 1024))
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in parts([disk, ram]).splitlines()[2:]]
    rows = {name: (plain, more) for name, plain, more in cells}
    assert rows["files in RAM (tmpfs)"] == ("1.0", "+47.0")
    assert rows["kernel: slab"] == ("20.0", "+1.0")
    assert rows["kernel: other"] == ("49.0", "+0.0")


def test_the_table_compares_with_the_control() -> None:
    rates = {"bytes": 100.0 * (1 << 20), "cold": 5.0, "warm": 2.0}
    disk = Figures("disk", 16.94, peak=40 * 1024, booted=dropped(67), read=dropped(69), rates=rates)
    ram = Figures("`ram`", 20, 25, 90 * 1024, 62 << 20, 61 << 20, 512, dropped(117), dropped(118), rates, 2196.0, 128)
    rows = {line.split("|")[1].strip(): line.split("|")[2:4] for line in markdown([disk, ram], 45 * 1024).splitlines()}
    assert [cell.strip() for cell in rows["**beyond the control**"]] == ["", "**49.0**"]
    assert [cell.strip() for cell in rows["and beyond the compressed image"]] == ["", "5.0"]
    assert [cell.strip() for cell in rows["cold reads, MiB/s"]] == ["20.0", "20.0"]
    assert [cell.strip() for cell in rows["smallest machine that becomes ready, MiB"]] == ["-", "128"]
