"""How far each machine is, over silence, restarts, floods and full disks."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from muster.boot.facts import HelloFacts, hello_facts
from muster.boot.heartbeat import Heartbeat
from muster.controller import boots as module
from muster.controller.boot import LOST_AFTER, MOST_WARNINGS, Boot
from muster.controller.boots import MOST_OFFERS, Boots
from muster.controller.given import Given, Laid, Loaded, given_of, loaded_of
from muster.model.errors import NotFoundError
from muster.store.timelines import Report, Timelines
from tests.cluster import FakeClock, hello

Open = Callable[[], Boots]


@pytest.fixture
def opened(tmp_path: Path, clock: FakeClock) -> Iterator[Open]:
    """The boots as a new process would know them."""
    numbers = itertools.count(1)
    made: list[Boots] = []

    def make() -> Boots:
        for boots in made:
            boots.close()
        made.append(Boots(Timelines(tmp_path / "boots.db"), clock, lambda: f"{next(numbers):016x}"))
        return made[-1]

    yield make
    for boots in made:
        boots.close()


def said(boots: Boots, boot: Boot, stage: str, status: str, percent: int | None = None) -> str:
    boots.report(boot, Report(1000.0, 5.0, stage, status), percent)
    return boot.state(1000.0)


def facts(boot: int = 1) -> HelloFacts:
    return hello_facts(hello(boot=boot))


def test_the_words_for_a_boot(opened: Open, clock: FakeClock) -> None:
    clock.time = 1000.0
    boots = opened()
    boot = boots.hello("m", facts(), "n1")
    assert boot.state(1000.0) == "booting"
    assert said(boots, boot, "wait", "start") == "waiting"
    assert said(boots, boot, "download", "progress", 40) == "booting" and boot.percent == 40
    assert said(boots, boot, "verify", "failed") == "failed"
    assert said(boots, boot, "download", "start") == "booting"
    boots.heartbeat(boot, Heartbeat("starting", 7.0))
    assert boot.state(1000.0) == "booting"
    boots.heartbeat(boot, Heartbeat("ready", 9.5))
    assert (boot.state(1000.0), boot.ready_uptime) == ("ready", 9.5)
    assert boot.state(1001.0 + LOST_AFTER) == "lost"
    clock.time = 2000.0
    boots.heartbeat(boot, Heartbeat("ready", 900.0))
    assert (boot.state(2000.0), boot.ready_uptime) == ("ready", 9.5), "back, and it became ready only once"
    boots.heartbeat(boot, Heartbeat("stopping", 901.0))
    assert boot.state(2000.0) == "stopping"


def test_one_kernel_is_one_boot(opened: Open) -> None:
    boots = opened()
    first = boots.hello("m", facts(), None)
    assert boots.hello("m", facts(), "n1") is first and first.node == "n1"
    second = boots.hello("m", facts(2), "n1")
    assert second.boot != first.boot and boots.of_node("n1") is second
    with pytest.raises(NotFoundError):
        boots.get(first.boot)
    assert [r.boot for r in boots.history("n1")] == [second.boot, first.boot] or len(boots.history("n1")) == 2


def test_a_restart_forgets_nobody(opened: Open, clock: FakeClock) -> None:
    boots = opened()
    ready, failed = boots.hello("a", facts(), "n1"), boots.hello("b", facts(), "n2")
    boots.heartbeat(ready, Heartbeat("ready", 9.0))
    said(boots, failed, "download", "failed")
    clock.time += 10 * LOST_AFTER
    boots = opened()
    assert boots.get(ready.boot).state(clock.now()) == "ready", "nobody is lost because we were away"
    assert boots.get(failed.boot).state(clock.now()) == "failed"
    assert boots.hello("a", facts(), "n1").boot == ready.boot
    assert boots.get(ready.boot).facts == ready.facts and boots.get(ready.boot).ready_uptime == 9.0


def test_progress_and_heartbeats_are_not_written(opened: Open) -> None:
    boots = opened()
    boot = boots.hello("m", facts(), "n1")
    before = len(boots.timeline(boot.boot))
    said(boots, boot, "download", "progress", 10)
    for _ in range(3):
        boots.heartbeat(boot, Heartbeat("ready", 9.0))
    assert [r.stage for r in boots.timeline(boot.boot)][before:] == ["ready"]
    assert [(r.stage, r.uptime) for r in boots.timeline(boot.boot)][:2] == [("modules", 1.25), ("network", 2.5)]


def test_a_flood_of_strangers_drops_the_oldest_of_them_and_no_node(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_STRANGERS", 10)
    boots = opened()
    node, adopted = boots.hello("node", facts(), "n1"), boots.hello("adopted", facts(), None)
    boots.assign(adopted, "n2")
    strangers = [boots.hello(f"s{i}", facts(), None) for i in range(30)]
    for known in (boots, opened()):
        assert known.of_node("n1") is not None and known.of_node("n2") is not None
        assert [s.machine for s in strangers if known.of_machine(s.machine)] == [f"s{i}" for i in range(20, 30)]
    assert boots.get(node.boot) is node
    with pytest.raises(NotFoundError):
        boots.get(strangers[0].boot)


def test_a_record_that_cannot_be_written_stops_no_boot(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    boots = opened()
    boots.close()
    boot = boots.hello("m", facts(), "n1")
    assert said(boots, boot, "download", "start") == "booting"
    boots.heartbeat(boot, Heartbeat("ready", 9.0))
    assert boots.get(boot.boot).state(1000.0) == "ready"
    assert "the record of boots cannot be used" in caplog.text


@pytest.mark.parametrize(("stage", "status"), [("download", "progress"), ("wait", "start"), ("root", "failed")])
def test_a_machine_that_falls_silent_is_lost_at_any_stage(opened: Open, stage: str, status: str) -> None:
    boots = opened()
    boot = boots.hello("m", facts(), "n1")
    said(boots, boot, stage, status)
    assert boot.state(1001.0 + LOST_AFTER) == "lost"
    assert boot.words(1001.0 + LOST_AFTER) == f"no word for 181 s, last at stage {stage}"


def test_a_node_that_was_shut_down_is_off_not_lost(opened: Open, clock: FakeClock) -> None:
    clock.time = 1000.0
    boots = opened()
    boot = boots.hello("m", facts(), "n1")
    boots.heartbeat(boot, Heartbeat("ready", 9.0))
    boots.heartbeat(boot, Heartbeat("stopping", 90.0))
    assert boot.state(1001.0) == "stopping"
    assert boot.state(1001.0 + LOST_AFTER) == "off"


def test_warnings_are_kept_and_change_nothing_else(opened: Open) -> None:
    boots = opened()
    boot = boots.hello("m", facts(), "n1")
    said(boots, boot, "root", "start")
    for number in range(30):
        boots.report(boot, Report(1000.0, 5.0, "root", "warning", f"warning {number}"))
        boots.report(boot, Report(1000.0, 5.0, "root", "warning", "warning 0"))
    for known in (boot, opened().get(boot.boot)):
        assert (known.stage, known.status) == ("root", "start")
        assert known.warnings == tuple(f"warning {i}" for i in range(MOST_WARNINGS)), "bounded, each once"
    known.heartbeat = Heartbeat("ready", troubles=("warning 3", "the upper layer is full: 5 of 5 MiB"))
    assert known.troubles == (*known.warnings, "the upper layer is full: 5 of 5 MiB")


def test_offers_are_bounded_and_go_with_their_boot(opened: Open) -> None:
    boots = opened()
    boot = boots.hello("m", facts(), "n1")
    given = [Given(f"{i:016x}", "debian@0123456789ab", "ram", {}, Laid("", "", "")) for i in range(MOST_OFFERS + 2)]
    for each in given:
        boots.offer(boot, each)
    assert [boots.offered(boot, each.plan) for each in given] == [None, None, *given[2:]]
    boots.hello("m", facts(2), "n1")
    assert boots.offered(boot, given[-1].plan) is None


@pytest.mark.parametrize("document", [None, [], {}, {"plan": "x"}, {"plan": 1, "image": "", "mode": "", "parts": {}}])
def test_a_record_of_another_release_is_as_none(document: object) -> None:
    assert given_of(document) is None and loaded_of(document) is None
    whole = Given("p", "i", "m", {"image": "x"}, Laid("a", "b", "c"))
    assert given_of(asdict(whole)) == whole
    assert given_of({**asdict(whole), "parts": {"image": 1}}) is None
    assert given_of({**asdict(whole), "overlay": {"sha256": "a"}}) is None
    assert loaded_of(asdict(Loaded("k", "m", "n"))) == Loaded("k", "m", "n")
