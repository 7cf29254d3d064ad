"""`muster noderange`, ranges with files, what a shell did to them, and what other programs read of us."""

import io
import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from muster.cli import inventory
from muster.controller import node_plan
from muster.controller.context import Context
from muster.host import process
from muster.model.errors import RequestError
from tests.cli.conftest import Muster
from tests.cluster import hello

CONF = Path(__file__).parents[2] / "packaging/clustershell/muster.conf"
PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_names_alone_need_no_controller(muster: Muster) -> None:
    assert muster("noderange", "expand", "x[08-10],-x09").out == "x08\nx10\n"
    assert muster("noderange", "fold", "x1,x2", "x3", "y").out == "x[1-3],y\n"
    assert muster("noderange", "fold", "x1,-x2", "x2").out == "x[1-2]\n", "an exclusion stays in its own argument"
    assert json.loads(muster("noderange", "expand", "x[1-2]", "-o", "json").out) == [{"name": "x1"}, {"name": "x2"}]
    asked = muster("noderange", "expand", "@all")
    assert asked.status == 3 and "no controller answers" in asked.err
    assert muster("noderange", "expand", "x[1-").status == 2


def test_standard_input_is_read_as_a_file(muster: Muster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x1\nx2 # no\n\n-x1\nx[3-5]\n")))
    assert muster("noderange", "fold").out == "x[2-5]\n"


def test_groups(muster: Muster, serving: Context) -> None:
    assert muster("node", "set", "n1", "labels.rack=r1").status == 0
    node_plan.hello(serving, hello("n1"), "http://10.77.0.1:9898")
    assert muster("noderange", "expand", "@compute!rack==r1").out == "n2\n"
    assert muster("noderange", "fold", "@state:booting,@state:never").out == "n[1-2]\n"
    assert muster("node", "list", "@state:booting", "-o", "name").out == "n1\n"
    assert muster("node", "list", "@state:failed", "-o", "name").status == 0
    assert muster("node", "set", "@state:never", "domain=x", "--dry-run").out == "~ node n2\n  + domain: x\n"
    assert muster("node", "power", "@state:failed", "on").status == 2
    assert muster("noderange", "groups", "--of", "n1", "-o", "name").out.split() == [
        "all", "compute", "rack:r1", "state:booting",
    ]  # fmt: skip
    assert "no such group: @rack:r9" in muster("noderange", "expand", "@rack:r9").err


def test_a_file_is_read_by_the_client(muster: Muster, serving: Context, here: Path) -> None:  # noqa: ARG001
    (here / "some").write_text("n1\nn2\n-n1\n")
    assert muster("node", "list", "^some", "-o", "name").out == "n2\n"
    assert muster("node", "delete", "@all,-^some", "--dry-run").out == "- node n1\n"
    assert "some:4: not a node range" in muster("node", "list", "^" + _write(here / "some", "n1\n\n\nn[1")).err
    absent = muster("node", "list", "^absent")
    assert absent.status == 2 and "absent: cannot read the file of nodes: No such file" in absent.err


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return path.name


def test_a_range_that_the_shell_replaced(muster: Muster, serving: Context, here: Path) -> None:  # noqa: ARG001
    (here / "n1").touch()
    (here / "n3").touch()
    said = muster("node", "delete", "n3")
    assert said.status == 2 and "no such node: n3" in said.err and "quote it, 'n[1-3]'" in said.err
    said = muster("node", "delete", "n1", "--dry-run")
    assert said.status == 0 and "warning: n1: a file here has this name" in said.err
    said = muster("node", "set", "n1", "n3", "domain=x")
    assert said.status == 2 and "n3: a file here has this name" in said.err
    for words in (("list", "n1", "n3"), ("power", "n1", "n3", "status")):
        said = muster("node", *words)
        assert said.status == 2 and "n3: a file here has this name" in said.err
    assert "file" not in muster("node", "list", "n2").err


@pytest.mark.tools
def test_watching_warns_once(muster: Muster, serving: Context, here: Path) -> None:  # noqa: ARG001
    _write(here / "n1", "n2")
    said = muster("watch", "n1", "--timeout", "1.2", "--until-ready")
    assert said.status == 1 and said.err.count("warning: n1") == 1
    assert muster("watch", "^n1", "--timeout", "0.1", "--until-ready").status == 1


def test_folding_answers_at_once() -> None:
    times = []
    for _ in range(3):
        started = time.monotonic()
        process.run([sys.executable, "-m", "muster.cli.main", "noderange", "fold", "x[1-9]"])
        times.append(time.monotonic() - started)
    assert min(times) < 0.4  # measured 0.12 s; the rest is for a busy machine


@pytest.mark.tools
def test_clustershell_reads_our_groups(muster: Muster, serving: Context, tmp_path: Path) -> None:  # noqa: ARG001
    muster("node", "set", "n[1-2]", "labels.rack=r1")
    folder = tmp_path / "clustershell"
    (folder / "groups.conf.d").mkdir(parents=True)
    (folder / "groups.conf").write_text("[Main]\nconfdir: $CFGDIR/groups.conf.d\ndefault: muster\n")
    (folder / "groups.conf.d/muster.conf").write_bytes(CONF.read_bytes())
    program = folder / "muster"
    program.write_text(f'#!/bin/sh\nexec {PROGRAMS}/muster --prefix {tmp_path} "$@"\n')
    program.chmod(stat.S_IRWXU)
    settings = {**os.environ, "CLUSTERSHELL_CFGDIR": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}

    def cluset(*words: str) -> str:
        return process.run([f"{PROGRAMS}/cluset", *words], env=settings).text.strip()

    assert cluset("-f", "@muster:rack:r1") == "n[1-2]"
    assert cluset("-f", "@muster:rack:r1!@muster:state:ready") == "n[1-2]"
    assert cluset("-f", "-a") == "n[1-2]"
    assert {"@rack:r1", "@compute", "@state:never"} <= set(cluset("-l").split())
    assert "@rack:r1" in cluset("-l", "n1")


ROWS = [
    {"name": "n1", "state": "ready", "address": "10.0.0.1", "profiles": ["compute", "gpu-a"], "labels": {"rack": "r1"}},
    {"name": "n2", "state": "never", "address": "", "profiles": ["compute"], "labels": {}},
    {"name": "n3", "state": "never", "address": "", "profiles": [], "labels": {}},
]


def test_genders() -> None:
    assert inventory.genders(ROWS) == "n1 compute,gpu-a,rack=r1\nn2 compute\nn3\n"
    with pytest.raises(RequestError, match="label rack of n1 cannot stand"):
        inventory.genders([{**ROWS[0], "labels": {"rack": "a, b"}}])


def test_ansible() -> None:
    found = json.loads(inventory.ansible(ROWS))
    assert found["gpu_a"]["hosts"] == ["n1"] and found["rack_r1"]["hosts"] == ["n1"]
    assert found["state_never"]["hosts"] == ["n2", "n3"] and found["all"]["hosts"] == ["n1", "n2", "n3"]
    assert found["_meta"]["hostvars"]["n1"]["ansible_host"] == "10.0.0.1"
    with pytest.raises(RequestError, match="cannot be a group of Ansible"):
        inventory.ansible([{**ROWS[0], "profiles": ["gpu-a", "gpu_a"]}])
    with pytest.raises(RequestError, match="cannot be a group of Ansible"):
        inventory.ansible([{**ROWS[0], "profiles": ["all"]}])


def test_inventory_of_some(muster: Muster, serving: Context) -> None:  # noqa: ARG001
    assert muster("node", "inventory", "n1", "--format", "genders").out == "n1 compute\n"
