"""Boots and reports over restarts, in bounded room."""

import sqlite3
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


def test_what_was_given_is_kept_with_its_boot(timelines: Timelines, tmp_path: Path) -> None:
    for i in range(3):
        timelines.add_boot(boot(i))
        timelines.give(f"m{i}", {"plan": f"p{i}"})
    timelines.give("m1", {"plan": "other"})
    timelines.give("m2", None)
    again = Timelines(tmp_path / "boots.db")
    assert again.given() == {"m0": {"plan": "p0"}, "m1": {"plan": "other"}}
    for i in range(1, KEPT_BOOTS + 1):
        timelines.add_boot(boot(i))
    assert list(timelines.given()) == ["m1"], "it goes with the oldest boot"
    timelines.forget("m")
    assert timelines.given() == {}
    again.close()


OLD = """
CREATE TABLE boots (
    boot TEXT PRIMARY KEY, machine TEXT NOT NULL, node TEXT, kernel_boot TEXT NOT NULL, started REAL NOT NULL,
    facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE reports (
    boot TEXT NOT NULL, at REAL NOT NULL, uptime REAL NOT NULL, stage TEXT NOT NULL, status TEXT NOT NULL,
    message TEXT NOT NULL
);
INSERT INTO boots VALUES ('b1', 'm', 'n1', 'k', 1.0, '{"kernel": "6.1"}');
INSERT INTO reports VALUES ('b1', 1.0, 9.0, 'ready', 'done', '');
"""


def test_the_record_of_an_older_release_is_taken_over_and_the_older_release_can_go_on(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "boots.db")
    old.executescript(OLD)
    old.commit()
    new = Timelines(tmp_path / "boots.db")
    assert [r.boot for r in new.latest_boots()] == ["b1"] and len(new.reports("b1")) == 1 and new.given() == {}
    new.give("b1", {"plan": "p"})
    old.execute("INSERT OR REPLACE INTO boots VALUES ('b2', 'm', 'n1', 'k', 2.0, '{}')")
    old.execute("DELETE FROM boots WHERE boot='b1'")
    old.commit()
    old.close()
    new.close()
    newer = Timelines(tmp_path / "boots.db")
    assert newer.given() == {} and [r.boot for r in newer.latest_boots()] == ["b2"], "what it left behind is gone"
    newer.close()
