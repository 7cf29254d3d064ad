"""What would change, field by field, as text: `~ node n1`, then `  image: a -> b` and the entries of lists."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MARKS = {"add": "+", "change": "~", "delete": "-"}
COLOURS = {"+": "32", "~": "33", "-": "31"}
"""SGR codes (ECMA-48): green, yellow, red."""


def coloured() -> bool:
    """Only for a terminal, and not where NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def render(differences: Sequence[Mapping[str, Any]], colour: bool = False) -> str:
    """The text of the controller's differences (model/difference.py), one block for each, ending in a newline."""
    lines = (line for difference in differences for line in _block(difference))
    return "".join(f"{_paint(mark, line) if colour else line}\n" for mark, line in lines)


def totals(differences: Sequence[Mapping[str, Any]]) -> str:
    """`2 to add, 1 to change`."""
    counts = {verb: sum(len(d["names"]) for d in differences if d["verb"] == verb) for verb in MARKS}
    return ", ".join(f"{count} to {verb}" for verb, count in counts.items() if count)


def _block(difference: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each line with the mark that gives its colour."""
    mark, count = MARKS[difference["verb"]], len(difference["names"])
    many = f" ({count} {difference['kind']}s)" if count > 1 else ""
    yield mark, f"{mark} {difference['kind']} {difference['range']}{many}"
    for field in difference["fields"]:
        yield from _field(field)


def _field(field: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    key, removed, added = field["key"], field.get("removed", ()), field.get("added", ())
    if removed or added:
        yield "~", f"  {key}:"
        yield from (("-", f"    - {_word(entry)}") for entry in removed)
        yield from (("+", f"    + {_word(entry)}") for entry in added)
    elif "before" not in field:
        yield "+", f"  + {key}: {_word(field['after'])}"
    elif "after" not in field:
        yield "-", f"  - {key}: {_word(field['before'])}"
    else:
        yield "~", f"  {key}: {_word(field['before'])} -> {_word(field['after'])}"


def _word(value: str) -> str:
    """A value as it is, unless a terminal would take it for something else."""
    return value if value and value.isprintable() and value == value.strip() else json.dumps(value)


def _paint(mark: str, line: str) -> str:
    return f"\x1b[{COLOURS[mark]}m{line}\x1b[0m"
