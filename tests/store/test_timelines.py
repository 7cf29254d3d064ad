"""Boots and reports over restarts, in bounded room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.store import timelines as module
from muster.store.timelines import KEPT_BOOTS, BootRecord, Report, Timelines


@pytest.fixture
def timelines(tmp_path: Path) -> Iterator[Timelines]:
    opened = Timelines(tmp_path / "boots.db")
    yield opened
    opened.close()


def boot(number: int, machine: str = "m", node: str | None = "n1") -> BootRecord:
    return BootRecord(f"{machine}{number}", machine, node, f"k{number}", float(number), {"kernel": "6.1"})


def test_old_boots_go_with_their_reports(timelines: Timelines) -> None:
    timelines.add_boot(boot(1, "other", "n2"))
    for i in range(KEPT_BOOTS + 5):
        timelines.add_boot(boot(i))
        timelines.add_report(f"m{i}", Report(1.0, 1.0, "hello", "done"))
    assert [r.boot for r in timelines.boots_of("n1")] == [f"m{i}" for i in range(KEPT_BOOTS + 4, 4, -1)]
    assert timelines.reports("m0") == [] and len(timelines.reports("m5")) == 1
    assert {r.boot for r in timelines.latest_boots()} == {f"m{KEPT_BOOTS + 4}", "other1"}


def test_a_boot_that_fails_for_weeks_keeps_its_last_reports(
    timelines: Timelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_REPORTS", 20)
    timelines.add_boot(boot(1))
    timelines.add_boot(boot(1, "other", "n2"))
    timelines.add_report("other1", Report(0.0, 0.0, "hello", "done"))
    for i in range(50):
        timelines.add_report("m1", Report(float(i), float(i), "download", "failed", f"try {i}"))
    assert [r.message for r in timelines.reports("m1")] == [f"try {i}" for i in range(30, 50)]
    assert len(timelines.reports("other1")) == 1


def test_reports_come_back_as_they_came(tmp_path: Path) -> None:
    first = Timelines(tmp_path / "t.db")
    said = [Report(2.0, 1.5, "hello", "done"), Report(1.0, 3.25, "download", "failed", "HTTP 404: gone")]
    first.add_boot(boot(1, node=None))
    for report in said:
        first.add_report("m1", report)
    first.assign("m1", "n7")
    first.close()
    second = Timelines(tmp_path / "t.db")
    assert second.reports("m1") == said
    assert [r.node for r in second.latest_boots()] == ["n7"]
    second.forget("m")
    assert second.latest_boots() == [] and second.reports("m1") == []
    second.close()
