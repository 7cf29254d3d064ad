"""Figures as text: spreads, sizes, tables, and their places in docs/figures.md. Markdown is the only form of output,
so that what is printed and what is kept are the same."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from muster.host.files import write_atomic

PAGE = Path(__file__).parent.parent / "docs/figures.md"
MIB = 1024 * 1024


def spread(values: Sequence[float]) -> str:
    """Median, and least and most behind it when there were several: `2.31 (2.28 to 2.40)`."""
    middle = f"{median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f} to {max(values):.2f})"


def size(number: float) -> str:
    """Bytes as people read them: `812 B`, `14.2 KiB`, `45.5 MiB`."""
    if number < 1024:
        return f"{number:.0f} B"
    return f"{number / 1024:.1f} KiB" if number < MIB else f"{number / MIB:.2f} MiB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned; the first column is text, the others are figures."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (head, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join((first, *others))} |"


def machine(accelerator: str) -> str:
    """This machine in general words, so that figures can be compared; no name of it."""
    how = "KVM" if accelerator == "kvm" else "software emulation, no KVM"
    return conditions(f"{os.cpu_count()} CPUs, {how}")


def conditions(head: str = f"{os.cpu_count()} CPUs") -> str:
    """As `machine`, of figures for which virtual machines play no part."""
    kernel = re.match(r"\d+\.\d+", platform.release())
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    date = datetime.now(UTC).date()
    return f"{head}, Linux {kernel[0] if kernel else '?'}, {date}; load average {load}"


def keep(section: str, text: str, page: Path = PAGE) -> None:
    """Put text between `<!-- SECTION -->` and `<!-- end SECTION -->` of the page. Raises ValueError without them."""
    begin, end = f"<!-- {section} -->", f"<!-- end {section} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no place for {section}: {begin} ... {end}")
    write_atomic(page, f"{before}{begin}\n\n{text}\n\n{end}{after}".encode())
