"""What nodes answered to an order, for people: equal answers once, with their nodes; who failed, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from muster.cli import output
from muster.model.errors import SomeFailedError, lines
from muster.model.ranges.names import fold

Row = Mapping[str, Any]
GRACE = 30.0
"""Seconds that the controller itself may take beyond the time that nodes are given."""


def collated(rows: Sequence[Row]) -> str:
    """The lines that each node said below its name; nodes that said the same together."""
    said: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row["lines"]:
            said.setdefault(tuple(row["lines"]), []).append(row["name"])
    blocks = ("\n".join([fold(names), *(f"  {line}" for line in found)]) for found, names in said.items())
    return "".join(f"{block}\n" for block in blocks)


def stale(rows: Sequence[Row], reference: str) -> str:
    """Which nodes hold which file as it is no more; how many hold none such."""
    if not rows:
        return f"no node runs {reference}\n"
    held: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for found in row["stale"]:
            names = held.setdefault((found["path"], _how(found)), [])
            if row["name"] not in names:
                names.append(row["name"])
    table = [{"nodes": fold(names), "holds": how, "path": path} for (path, how), names in sorted(held.items())]
    clean = sum(1 for row in rows if not row["stale"] and not row["error"])
    counted = f"{clean} {'node holds' if clean == 1 else 'nodes hold'} nothing stale\n" if clean else ""
    return (output.listing(table, ("nodes", "holds", "path"), "table") if table else "") + counted


def refuse_failed(rows: Sequence[Row]) -> None:
    """SomeFailedError that names those that failed or did not answer, if there are any."""
    failed: dict[str, list[str]] = {}
    for row in rows:
        if row["error"]:
            failed.setdefault(row["error"], []).append(row["name"])
    if failed:
        raise SomeFailedError(lines([f"{fold(names)}: {error}" for error, names in failed.items()]))


def done(rows: Sequence[Row]) -> list[Row]:
    """Those that did not fail."""
    return [row for row in rows if not row["error"]]


def _how(found: Row) -> str:
    return {"own": "own copy", "open": f"open by {found.get('command')}"}.get(found["what"], "")
