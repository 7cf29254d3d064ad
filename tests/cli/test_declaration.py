"""Declarations on the command line: what is shown, what is asked, what is refused, and with which exit status."""

import io
import json
from pathlib import Path

import pytest
import yaml

from muster.cli import difference
from muster.controller.context import Context
from muster.controller.objects import apply
from muster.model.objects import Node
from tests.cli.conftest import Muster
from tests.cluster import node
from tests.golden import compare

GOLDEN = Path(__file__).parent / "golden"
CHANGED = """\
kind: node
name: n1
machine: {uuid: 6ba7b810-9dad-11d1-80b4-00c04fd43001}
interfaces:
- {name: eth0, mac: 52:54:00:00:00:01, address: 10.77.0.31/24}
- {name: eth1, dhcp: true}
image: debian:latest
overlays: [base, -site]
labels: {note: "two\\nlines", rack: r1}
---
kind: node
name: n3
profiles: [compute]
---
kind: node
name: n4
profiles: [compute]
---
kind: profile
name: compute
image: debian
kernel_arguments: [console=ttyS0, quiet]
"""
WRONG = """\
kind: node
name: n1
interfaces:
- name: eth0
  mac: 52:54
  address: 10.77.0.11
root: floppy
colour: red
---
kind: nodes
name: n8
---
kind: node
name: n5
image: fedora
profiles: [compute, nowhere]
interfaces: [{name: eth0, mac: 52:54:00:00:00:02}]
---
kind: node
name: n6
kernel_arguments: [quiet, muster.server=http://x]
---
name: n7
---
kind: node
name: n5
---
kind: network
name: two
subnet: 10.77.0.0/16
address: 10.78.0.1
interface: br0
"""
SECOND = """\
kind: node
name: n9
interfaces:
- {name: eth0, address: 10.77.0.1/24}
- {name: eth1, address: 10.77.0.201/24}
---
kind: image
name: debian
tags: {stable: 0123456789ab}
---
kind: image
name: Debian
tags: latest
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of a test lie: they are named without it in messages."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


class Terminal(io.StringIO):
    """A person who has typed this already."""

    def isatty(self) -> bool:
        return True


def test_a_difference_field_by_field(muster: Muster, serving: Context, folder: Path, update_golden: bool) -> None:
    (folder / "new.yaml").write_text(CHANGED)
    before = serving.world
    said = muster("diff", "--prune", "new.yaml")
    assert said.status == 1 and serving.world is before
    compare(GOLDEN / "declaration/diff.txt", said.out, update_golden)
    assert muster("apply", "--prune", "--dry-run", "new.yaml").out == said.out
    found = json.loads(muster("diff", "--prune", "new.yaml", "-o", "json").out)
    assert difference.render(found) == said.out
    compare(GOLDEN / "declaration/diff-coloured.txt", difference.render(found, colour=True), update_golden)


def test_all_that_is_wrong_with_file_line_and_key(
    muster: Muster, serving: Context, folder: Path, update_golden: bool
) -> None:
    (folder / "wrong.yaml").write_text(WRONG)
    (folder / "second.yaml").write_text(SECOND)
    before = serving.world
    said = muster("apply", "wrong.yaml", "second.yaml")
    assert said.status == 2 and serving.world is before
    compare(GOLDEN / "declaration/wrong.txt", said.err, update_golden)


def test_apply_then_nothing_differs(muster: Muster, serving: Context, folder: Path) -> None:
    (folder / "new.yaml").write_text(CHANGED)
    assert muster("apply", "new.yaml").out.splitlines() == [
        "change node n1",
        "add node n3",
        "add node n4",
        "change profile compute",
    ]
    assert muster("apply", "new.yaml").out == "nothing to change\n"
    said = muster("diff", "new.yaml")
    assert (said.status, said.out) == (0, "")
    assert serving.world.get(Node, "n1").labels == {"note": "two\nlines", "rack": "r1"}


def test_what_was_exported_is_what_is(muster: Muster, serving: Context, folder: Path) -> None:
    before = serving.world
    for form in ("yaml", "json"):
        (folder / "all").write_text(muster("export", "--all", "-o", form).out)
        assert muster("diff", "--prune", "all").status == 0
        assert muster("apply", "--prune", "all").out == "nothing to change\n"
    assert serving.world is before
    assert [d["name"] for d in yaml.safe_load_all(muster("export", "node").out)] == ["n1", "n2"]
    assert muster("export", "rack").status == 2 and muster("export", "--all", "node").status == 2


def test_pruning_shows_what_goes_and_asks(
    muster: Muster, serving: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "few.yaml").write_text(muster("export", "profile", "network").out)
    said = muster("apply", "--prune", "few.yaml")
    assert said.status == 2 and "2 to delete" in said.err and "- node n[1-2] (2 nodes)" in said.err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    said = muster("apply", "--prune", "few.yaml")
    assert said.status == 130 and "- node n[1-2]" in said.out and "2 to delete. Go on?" in said.out
    assert serving.world.find(Node, "n1") is not None
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert muster("apply", "--prune", "few.yaml").out.endswith("delete node n1\ndelete node n2\n")
    assert serving.world.find(Node, "n1") is None


def test_much_is_asked_for(muster: Muster, serving: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("node", "set", "n[1-2]", "domain=a.example")
    said = muster(*words, "--limit", "1")
    assert said.status == 2 and "2 to change: more than 1 objects (--limit)" in said.err
    assert serving.world.get(Node, "n1").domain is None
    assert muster(*words, "--limit", "1", "--dry-run").out == "~ node n[1-2] (2 nodes)\n  + domain: a.example\n"
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    monkeypatch.setenv("MUSTER_LIMIT", "1")
    assert "2 to change. Go on?" in muster(*words).out
    monkeypatch.delenv("MUSTER_LIMIT")
    assert muster("node", "add", "m[1-51]", "--yes").status == 0
    assert muster("node", "delete", "m[1-51]", "--limit", "51").status == 0


def test_what_was_shown_is_what_is_done_or_nothing_is(
    muster: Muster, serving: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Terminal):
        def readline(self, *_: object) -> str:
            serving.store.change(lambda w: apply(w, [node("n1", domain="b.example")]), who="alice")
            return "y\n"

    (folder / "x.yaml").write_text(yaml.safe_dump(node("n1", domain="a.example")))
    monkeypatch.setattr("sys.stdin", Slow())
    said = muster("apply", "--limit", "0", "x.yaml")
    assert said.status == 2 and "node n1 (by alice)" in said.err
    assert serving.world.get(Node, "n1").domain == "b.example"


def test_colour_is_for_terminals_and_not_for_all_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert difference.coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not difference.coloured()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert not difference.coloured()


def test_an_empty_controller_takes_what_another_had(muster: Muster, serving: Context, folder: Path) -> None:
    moved = muster("export").out.replace(
        serving.world.objects["image", "debian"].model_dump()["tags"]["latest"], "f" * 12
    )
    (folder / "all.yaml").write_text(moved)
    said = muster("apply", "all.yaml")
    assert said.status == 2 and "all.yaml:3: tags.latest: there is no version debian@ffffffffffff" in said.err
    assert "--allow-missing-images" in said.err
    assert muster("apply", "--allow-missing-images", "all.yaml").out == "change image debian\n"


def test_schema(muster: Muster) -> None:
    whole = json.loads(muster("schema").out)
    assert set(whole["discriminator"]["mapping"]) == {"image", "network", "profile", "node"}
    assert json.loads(muster("schema", "node").out)["$ref"] == "#/$defs/Node"
    assert muster("schema", "rack").status == 2


CSV = """\
name,mac,address,uuid,serial,bmc,profile,label.rack,image
n1,,,,,10.78.0.11,,r1,
x1,52:54:00:00:01:01,10.77.0.41/24,,0007,10.78.0.41,compute,r2,debian

"x2",52-54-00-00-01-02,10.77.0.42/24,,0008,10.78.0.42,"compute",r2,
"""


def test_an_inventory(muster: Muster, serving: Context, folder: Path, update_golden: bool) -> None:
    (folder / "nodes.csv").write_text(CSV)
    compare(GOLDEN / "declaration/import.txt", muster("node", "import", "nodes.csv", "--dry-run").out, update_golden)
    assert muster("node", "import", "nodes.csv").out == "change node n1\nadd node x1\nadd node x2\n"
    assert muster("node", "import", "nodes.csv").out == "nothing to change\n"
    found = serving.world.get(Node, "x1")
    assert found.machine and (found.machine.board_serial, found.labels) == ("0007", {"rack": "r2"})
    (folder / "semicolons.csv").write_bytes(b"\xef\xbb\xbfname;ip\r\nx1;10.77.0.51/24\r\n")
    assert muster("node", "import", "semicolons.csv").out == "change node x1\n"


BAD_CSV = """\
name,mac,address,profile,image
x1,52:54,10.77.0.41,compute,debian
x2,52:54:00:00:00:01,10.77.0.42/24,nowhere,fedora
x3,52:54:00:00:00:01,10.77.0.300/24,,
X4,,,,
x1,,,,
"""


def test_all_that_is_wrong_with_an_inventory(
    muster: Muster, serving: Context, folder: Path, update_golden: bool
) -> None:
    before = serving.world
    said = []
    for text in (BAD_CSV, "name,colour,mac\nx1,red,\nx2,red,\n", "mac,mac,\nx,y,z\na\n", 'name\n"x'):
        (folder / "bad.csv").write_text(text)
        said.append(muster("node", "import", "bad.csv"))
    assert [s.status for s in said] == [2] * len(said) and serving.world is before
    compare(GOLDEN / "declaration/bad-import.txt", "\n".join(s.err for s in said), update_golden)
