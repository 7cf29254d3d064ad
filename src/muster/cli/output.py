"""How answers are shown: `-o table|json|yaml|name`. Standard library alone; yaml is loaded when asked for."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("table", "json", "yaml", "name")
Row = Mapping[str, object]
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML 1.1 (section 5.1) wants escaped, of what JSON does not escape."""


def listing(rows: Sequence[Row], columns: Sequence[str], form: str) -> str:
    """Rows as text that ends in a newline (empty for no rows in `name` form). The first column is the name."""
    if form == "json":
        return json.dumps(list(rows), indent=2) + "\n"
    if form == "yaml":
        return _yaml([dict(row) for row in rows])
    if form == "name":
        return "".join(f"{row[columns[0]]}\n" for row in rows)
    return _table(rows, columns)


def document(value: Row, form: str) -> str:
    """One object: yaml for people (`table`), or as asked."""
    if form == "json":
        return json.dumps(value, indent=2) + "\n"
    if form == "name":
        return f"{value.get('name', '')}\n"
    return _yaml(dict(value))


def as_json(value: object) -> str:
    """Readable, and such that a YAML reader takes it: that knows no pairs of surrogates and no control characters."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def documents(values: Sequence[Row]) -> str:
    """A stream of YAML documents, the innermost maps and lists each on one line."""
    import yaml

    options: dict[str, Any] = {"sort_keys": False, "default_flow_style": None, "width": 120, "allow_unicode": True}
    return str(yaml.dump_all(values, Dumper=yaml.CSafeDumper, **options))


def warn(text: str) -> None:
    """A line for the person, not for the pipe."""
    sys.stderr.write(f"{text}\n")


def words(value: object) -> str:
    """A cell: lists with commas, maps as key=value, nothing as a dash."""
    if isinstance(value, str):
        return value or "-"
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={words(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(words(inner) for inner in value)
    return str(value)


def size(count: object) -> str:
    """Bytes for people: `63.2 MB` (10^6)."""
    return f"{count / 1e6:.1f} MB" if isinstance(count, (int, float)) else "-"


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    cells = [[column.upper() for column in columns]] + [[words(row.get(c)) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells)
    return "".join(f"{line}\n" for line in lines)


def _yaml(value: object) -> str:
    import yaml

    return str(yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=False, width=120))
