"""How answers look: the same rows as a table, JSON, YAML and names."""

import json
from pathlib import Path

import yaml

from muster.cli import output
from tests.golden import compare

GOLDEN = Path(__file__).parent / "golden"
ROWS = [
    {
        "name": "n1",
        "state": "ready",
        "seconds": 31.5,
        "profiles": ["compute", "gpu"],
        "labels": {"rack": "r1", "x": ""},
    },
    {
        "name": "n200",
        "state": "failed",
        "seconds": None,
        "profiles": [],
        "labels": {},
        "message": "HTTP 404: größe: no",
    },
]
COLUMNS = ("name", "state", "seconds", "profiles", "labels", "message")


def test_table(update_golden: bool) -> None:
    compare(GOLDEN / "listing/table.txt", output.listing(ROWS, COLUMNS, "table"), update_golden)


def test_no_rows_are_a_header_for_people_and_nothing_for_programs() -> None:
    assert output.listing([], ("name", "state"), "table") == "NAME  STATE\n"
    assert output.listing([], ("name",), "name") == ""
    assert json.loads(output.listing([], ("name",), "json")) == []


def test_programs_get_it_whole() -> None:
    assert json.loads(output.listing(ROWS, COLUMNS, "json")) == ROWS
    assert yaml.safe_load(output.listing(ROWS, COLUMNS, "yaml")) == ROWS
    assert output.listing(ROWS, COLUMNS, "name") == "n1\nn200\n"


def test_one_object() -> None:
    assert yaml.safe_load(output.document(ROWS[0], "table")) == ROWS[0]
    assert json.loads(output.document(ROWS[0], "json")) == ROWS[0]
    assert output.document(ROWS[0], "name") == "n1\n"


def test_sizes_for_people() -> None:
    assert (output.size(63_200_000), output.size(None)) == ("63.2 MB", "-")
