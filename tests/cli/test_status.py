"""The first look in the morning: counts, then what needs attention, folded."""

import json

from muster.controller import node_plan
from muster.controller.boot import LOST_AFTER
from muster.controller.context import Context
from muster.controller.objects import apply, delete
from muster.store.timelines import Report
from tests.cli.conftest import Muster
from tests.cluster import FakeClock, hello, node


def test_equal_causes_are_one_line_however_long_ago(muster: Muster, serving: Context, clock: FakeClock) -> None:
    for name in ("n1", "n2"):
        node_plan.hello(serving, hello(name), "http://10.77.0.1:9898")
        boot = serving.boots.of_node(name)
        assert boot is not None
        serving.boots.report(boot, Report(clock.time, 9.0, "download", "failed", "no answer"))
        clock.time += 10
    said = muster("status").out
    assert said == "2 failed\nn[1-2] failed: no answer\n"
    clock.time += LOST_AFTER
    assert muster("status").out == "2 lost\nn[1-2] lost: no word, last at stage download: no answer\n"
    assert "no word for 200 s" in muster("node", "list", "n1").out
    assert muster("status", "-o", "name").out == "n[1-2]\n"
    found = json.loads(muster("status", "-o", "json").out)
    assert found["counts"] == {"lost": 2} and found["attention"][0]["count"] == 2


def test_very_many_causes_do_not_fill_the_screen(muster: Muster, serving: Context, clock: FakeClock) -> None:
    serving.store.change(lambda w: delete(w, "node", "n1,n2"), who="test")
    documents = [node(f"c{n:02}", interfaces=[{"name": "e", "mac": f"52:54:00:00:01:{n:02x}"}]) for n in range(30)]
    serving.store.change(lambda w: apply(w, documents), who="test")
    for number in range(29):
        mac = f"52:54:00:00:01:{number:02x}".encode()
        body = hello("n1", boot=number).replace(b"52:54:00:00:00:01", mac).replace(b"d43001", b"%06d" % number)
        node_plan.hello(serving, body, "http://10.77.0.1:9898")
        boot = serving.boots.of_node(f"c{number:02}")
        assert boot is not None
        serving.boots.report(boot, Report(clock.time, 9.0, "download", "failed", f"cause {number}"))
    lines = muster("status").out.splitlines()
    assert lines[0] == "29 failed, 1 never" and len(lines) == 22
    assert lines[-1] == "and 10 nodes with 10 other causes: muster status -o yaml"
