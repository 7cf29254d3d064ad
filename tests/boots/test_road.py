"""The whole road with real firmware: BIOS and UEFI from power-on to ready, and a machine that nobody named."""

import re

import pytest

from tests.boots.conftest import IMAGE, RunningLab

pytestmark = [pytest.mark.root, pytest.mark.boot]
LAB_OPTIONS = ["--nodes", "2", "--unknown", "1", "--firmware", "bios,uefi,bios", "--memory", "768"]


@pytest.fixture(scope="module")
def ready(lab: RunningLab) -> RunningLab:
    lab.muster("node", "power", "n1,n2", "on")
    lab.until_ready("n1", "n2")
    return lab


def test_both_firmwares_reach_ready(ready: RunningLab) -> None:
    rows = ready.rows("node", "list")
    assert {row["name"]: row["state"] for row in rows} == {"n1": "ready", "n2": "ready"}
    assert all(row["version"].startswith(f"{IMAGE}@") and row["seconds"] > 0 for row in rows)


def test_the_status_is_short_when_all_is_well(ready: RunningLab) -> None:
    assert ready.muster("status").splitlines()[:2] == ["2 ready", "n[1-2] ready"]


def test_a_node_is_what_was_declared(ready: RunningLab) -> None:
    said = ready.ssh(
        "10.77.0.11", "hostname; hostname -f; ip -br -4 address show eth0; getent hosts n2; findmnt -no FSTYPE /"
    )
    name, fqdn, address, other, root = said.splitlines()
    assert (name, fqdn, root) == ("n1", "n1.lab.test", "overlay")
    assert "10.77.0.11/24" in address
    assert other.split()[0] == "10.77.0.12"


def test_the_image_needs_nothing_of_ours_and_only_the_agent_stays(ready: RunningLab) -> None:
    said = ready.ssh(
        "10.77.0.11",
        "systemctl is-system-running; find / -xdev -iname '*muster*' -not -path '/proc/*'; ls /run/muster/bin",
    )
    state, *files = said.split()
    assert state == "running"
    # what the overlay brought carries our name; nothing else does
    assert all(f.startswith("/etc/") or f == "busybox" for f in files), files


def test_the_timeline_names_every_stage_in_order(ready: RunningLab) -> None:
    reports = ready.trace("n2")["reports"]
    done = [report["stage"] for report in reports if report["status"] == "done"]
    assert done == ["modules", "network", "hello", "plan", "download", "verify", "root", "overlay", "handover", "ready"]
    uptimes = [report["uptime"] for report in reports]
    assert uptimes == sorted(uptimes)


def test_explain_says_where_each_setting_comes_from(ready: RunningLab) -> None:
    said = ready.muster("node", "explain", "n1")
    assert re.search(r"^image\s+debian12-tiny\s+profile default$", said, re.M)
    assert re.search(r"^root\s+ram\s+default$", said, re.M)
    assert "n1 runs debian12-tiny@" in said


def test_an_unknown_machine_waits_and_goes_on_when_it_is_adopted(ready: RunningLab) -> None:
    ready.lab("power", "u1", "on")
    ready.until(lambda: len(ready.rows("node", "pending")) == 1, "u1 pending")
    pending = ready.rows("node", "pending")[0]
    assert pending["mac"] == "52:54:00:4d:01:01" and pending["cpus"] == "1"
    ready.until_console("u1", f"waiting: machine {pending['machine']} is not known")
    ready.muster("node", "adopt", pending["machine"], "n3", "interfaces.eth0.address=10.77.0.13/24")
    ready.until_ready("n3")
    assert ready.console("u1").count("Linux version") == 1, "it rebooted"
    assert ready.ssh("10.77.0.13", "hostname").strip() == "n3"
    assert ready.rows("node", "pending") == []


def test_a_changed_node_gets_the_new_answer_at_its_next_boot(ready: RunningLab) -> None:
    ready.muster("node", "set", "n1", "interfaces.eth0.address=10.77.0.21/24", "labels.rack=r7")
    before = ready.node("n1")["boot"]
    ready.muster("node", "power", "n1", "cycle")
    ready.until(lambda: ready.node("n1")["boot"] != before, "n1 boots again")
    ready.until_ready("n1")
    assert "10.77.0.21/24" in ready.ssh("10.77.0.21", "ip -br -4 address show eth0")
