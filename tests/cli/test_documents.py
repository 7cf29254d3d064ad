"""Reading declarations: text stays text, every key has its line, what is no document is named by file and line."""

import io
from pathlib import Path

import pytest

from muster.cli.documents import DEEPEST, Declaration, read
from muster.model.errors import RequestError


def reading(*texts: str | bytes) -> Declaration:
    files = []
    for number, text in enumerate(texts):
        file = io.BytesIO(text.encode() if isinstance(text, str) else text)
        file.name = f"{'ab'[number]}.yaml"
        files.append(file)
    return read(files)


def test_every_scalar_is_the_text_that_was_written() -> None:
    found = reading("kind: node\nname: n1\nmachine: {board_serial: 00012345}\nlabels: {on: yes, x: 1e3, t: 12:30}\n")
    assert found.documents[0]["machine"] == {"board_serial": "00012345"}
    assert found.documents[0]["labels"] == {"on": "yes", "x": "1e3", "t": "12:30"}


LINES = """\
# nodes of rack 1
kind: node
name: n1
interfaces:
- name: eth0
  mac: x
- {name: eth1,
   mac: y}
labels:
  a.b: c
---
---
kind: node
name: n2
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("name",), 3),
        (("interfaces", 0, "mac"), 6),
        (("interfaces", 1, "mac"), 8),
        (("interfaces", 1, "address"), 7),
        (("interfaces", 5), 4),
        (("labels", "a.b"), 10),
        (("profiles", 0), 2),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    found = reading(LINES)
    assert found.origins[0].line(path) == line
    assert (len(found.documents), found.origins[1].line(("name",))) == (2, 14)


def test_a_list_of_documents_is_as_good() -> None:
    found = reading(
        '[\n{"kind": "node", "name": "n1"},\n{"kind": "node",\n"name": "größe \\ud83d"}]'.replace("\\ud83d", "😀")
    )
    assert [d["name"] for d in found.documents] == ["n1", "größe 😀"]
    assert [o.line(("name",)) for o in found.origins] == [2, 4]


BROKEN = [
    ("kind: node\nname: [", "a.yaml:2: is not YAML"),
    ("kind: node\nkind: node\nname: a\nname: b\n", "a.yaml:2: kind: this key is written twice, first in line 1"),
    ("kind: node\nlabels: {a: b, a: c}\n", "a.yaml:2: a: this key"),
    ("a: &x b\n", "a.yaml:1: anchors"),
    ("a: b\nc: *x\n", "a.yaml:2: aliases"),
    ("a: !!binary aGk=\n", "a.yaml:1: YAML tags"),
    ("? [a]\n: b\n", "a.yaml:1: a key is one word"),
    ("- a\n- b\n", "a.yaml:2: a document is a map"),
    ("\nword\n", "a.yaml:2: a document is a map"),
    ("a: " + "[" * 100_000, "a.yaml:1: nested too deeply"),
    ("a: " + "{a: " * DEEPEST, "a.yaml:1: nested too deeply"),
    (b"a: b\nc: \xff\n", "a.yaml:2: is not UTF-8"),
    ("a: \x00", "a.yaml:1: is not YAML"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_what_is_no_document(text: str | bytes, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        reading(text)
    assert message in caught.value.message


def test_all_files_are_read_before_any_problem_is_told() -> None:
    with pytest.raises(RequestError) as caught:
        reading("a: b\na: c\n", "- x\n")
    assert [line.partition(" ")[0] for line in caught.value.message.splitlines()] == ["a.yaml:2:", "b.yaml:1:"]


def test_nothing_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("# nothing\n---\n")
    with (tmp_path / "x").open("rb") as file:
        assert read([file]).documents == []
