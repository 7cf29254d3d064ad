"""The timeline adds up, shows what failed, and says how far a boot is."""

from muster.cli import trace
from muster.controller import node_plan
from muster.controller.context import Context
from muster.store.timelines import Report
from tests.cli.conftest import Muster
from tests.cluster import hello

RETRIED = [
    ("modules", "done", 1.0, ""),
    ("network", "done", 3.0, ""),
    ("download", "start", 3.5, ""),
    ("download", "failed", 5.5, "HTTP 503"),
    ("download", "start", 8.0, ""),
    ("download", "failed", 9.0, "the length is 3, not 9"),
    ("download", "done", 20.0, ""),
    ("overlay", "done", 0.0, "its clock was not read"),
    ("ready", "done", 24.0, ""),
    ("ready", "stopping", 86400.0, ""),
]
REPORTS = [{"stage": s, "status": t, "uptime": u, "message": m} for s, t, u, m in RETRIED]


def test_durations_are_between_a_report_and_the_one_before() -> None:
    assert trace.took(REPORTS) == [1.0, 2.0, 0.5, 2.0, 2.5, 1.0, 11.0, 0.0, 4.0, 86376.0]


def test_the_end_says_the_whole_and_what_failed() -> None:
    assert trace.summary(REPORTS) == [
        "ready after 24.00 s; longest: download 17.00 s, ready 4.00 s, network 2.00 s",
        "failed attempts: 2 at download",
    ]
    assert trace.summary(REPORTS[:4]) == [
        "not ready after 5.50 s; longest: download 2.50 s, network 2.00 s, modules 1.00 s",
        "failed attempts: 1 at download",
    ]
    assert trace.summary([]) == ["nothing was reported"]


def test_a_boot_that_goes_on_says_how_far_it_is(muster: Muster, serving: Context) -> None:
    node_plan.hello(serving, hello("n1"), "http://10.77.0.1:9898")
    boot = serving.boots.of_node("n1")
    assert boot is not None
    now = serving.clock.now()
    serving.boots.report(boot, Report(now, 4.0, "download", "failed", "no answer"))
    serving.boots.report(boot, Report(now, 5.0, "download", "progress"), percent=40)
    said = muster("node", "trace", "n1").out.splitlines()
    assert said[-3:] == [
        "not ready after 4.00 s; longest: download 1.50 s, modules 1.25 s, network 1.25 s",
        "failed attempts: 1 at download",
        "now at 40 % of stage download",
    ]
    assert any("failed" in line and "no answer" in line for line in said)
