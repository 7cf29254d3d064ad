"""Who changed what and when, asked over the real socket."""

import getpass
import json
import os
import sys
import time
from pathlib import Path

import pytest

from muster.cli.audit import moment
from muster.controller import node_plan
from muster.controller.context import Context
from muster.host import process
from muster.host.paths import Paths
from muster.model.errors import RequestError
from tests.cli.conftest import Muster
from tests.closed import needs_open_clone
from tests.cluster import FakeClock, hello
from tests.golden import compare

GOLDEN = Path(__file__).parent / "golden"


def test_a_day_in_the_log(
    muster: Muster, serving: Context, clock: FakeClock, update_golden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    clock.time += 3600
    muster("node", "add", "c[1-3]", "image=debian", "interfaces.eth0.mac=52:54:00:00:0c:01", "--dry-run")
    muster("node", "add", "c[1-3]", "image=debian", "labels.rack=r1")
    muster("node", "set", "c[1-2]", "labels.rack=r2", "kernel_arguments=quiet")
    muster("node", "power", "c1", "on")
    muster("node", "power", "c1", "status")
    node_plan.hello(serving, hello("stranger"), "http://10.77.0.1:9898")
    machine = next(name for kind, name in serving.world.objects if kind == "machine")
    muster("node", "adopt", machine[:8], "n7", "profiles=compute")
    muster("node", "delete", "c3")
    said = muster("audit", "--since", "2023-11-14T23:00")
    compare(GOLDEN / "audit/day.txt", said.out.replace(getpass.getuser(), "USER"), update_golden)


def test_by_object_person_time_and_number(muster: Muster, serving: Context, clock: FakeClock) -> None:
    assert serving.world.revision

    def asked(*words: str) -> list[tuple[str, str]]:
        return [(row["verb"], row["name"]) for row in json.loads(muster("audit", *words, "-o", "json").out)]

    clock.time += 7200
    muster("profile", "set", "compute", "timezone=Europe/Berlin")
    muster("node", "power", "n1", "on")
    muster("node", "set", "n2", "labels.a=b")
    assert asked("node", "n1") == [("power on", "n1"), ("add", "n1")]
    assert asked("node", "n[1-2]") == [("change", "n2"), ("power on", "n1"), ("add", "n2"), ("add", "n1")]
    assert asked("profile") == [("change", "compute"), ("add", "compute")]
    assert asked("power") == [("power on", "n1")]
    assert asked("--who", getpass.getuser(), "--limit", "2") == [("change", "n2"), ("power on", "n1")]
    assert asked("--who", "test", "node") == [("add", "n2"), ("add", "n1")]
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(clock.time - 1))
    assert len(asked("--since", since)) == 3 and asked("--since", "1h") == []
    assert muster("audit", "--since", "1h").out == "nothing was changed\n"
    assert muster("audit", "nodes").status == 2 and muster("audit", "--since", "soon").status == 2
    assert json.loads(muster("audit", "profile", "compute", "--limit", "1", "-o", "json").out)[0]["fields"] == [
        {"field": "timezone", "before": None, "after": "Europe/Berlin"}
    ]


def test_moments() -> None:
    assert moment("90m", 10_000.0) == 4600.0
    assert moment("2026-01-31T18:30", 0) - moment("2026-01-31", 0) == 18.5 * 3600
    with pytest.raises(RequestError, match="2026-13-01"):
        moment("2026-13-01", 0)


@needs_open_clone
@pytest.mark.root
def test_two_users_on_the_socket_are_two_names_in_the_log(muster: Muster, serving: Context, tmp_path: Path) -> None:
    assert serving.world.revision
    paths = Paths(tmp_path)
    paths.socket.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o711)
    for uid, label in ((1, "a"), (2, "b"), (54321, "c")):
        user = ("setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups")
        words = ("-m", "muster.cli.main", "--prefix", tmp_path, "node", "set", "n1", f"labels.{label}=1")
        process.run([*user, sys.executable, "-P", *words], env={"HOME": "/"})
    rows = json.loads(muster("audit", "node", "n1", "--limit", "3", "-o", "json").out)
    assert [(row["who"], row["fields"][0]["field"]) for row in rows] == [
        ("uid 54321", "labels.c"),
        ("bin", "labels.b"),
        ("daemon", "labels.a"),
    ]
