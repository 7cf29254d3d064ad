"""The live table of boots: a picture on a terminal, a line for each event elsewhere."""

import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from muster.cli.session import Session
from muster.model import urls
from muster.model.errors import SomeFailedError

INTERVAL = 0.5
FRAME = 7
"""Lines of a terminal that the table's frame, its caption and the prompt take."""

_COLUMNS = "name,state,stage,percent,seconds,version,message"
_COLOURS = {"ready": "green", "failed": "red", "lost": "red", "waiting": "yellow", "booting": "cyan"}


def follow(session: Session, names: str, until_ready: bool, timeout: float | None) -> None:
    """Show boots until interrupted, until all are ready, or until `timeout` seconds (SomeFailedError)."""
    view = _Picture() if Console().is_terminal else _Lines()
    deadline = None if timeout is None else time.monotonic() + timeout
    with view:
        while True:
            rows = session.rows(urls.API_OBJECTS.format(kind="node"), {"names": names, "columns": _COLUMNS})
            view.show(rows)
            if until_ready and rows and all(row["state"] == "ready" for row in rows):
                return
            if deadline is not None and time.monotonic() > deadline:
                late = [f"{row['name']}: {row['state']} {row['stage']} {row['message']}" for row in rows]
                raise SomeFailedError(f"not ready after {timeout:g} s:\n" + "\n".join(late))
            time.sleep(INTERVAL)


class _Lines:
    """One line whenever a node's stage, state or tenth of its download changes."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._said: dict[str, tuple[object, ...]] = {}

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            tenth = None if row["percent"] is None else row["percent"] // 10
            key = (row["state"], row["stage"], tenth, row["message"])
            if self._said.get(row["name"]) != key:
                self._said[row["name"]] = key
                percent = f" {row['percent']} %" if row["percent"] is not None else ""
                message = f": {row['message']}" if row["message"] else ""
                seconds = time.monotonic() - self._start
                stage = f" {row['stage']}" if row["stage"] else ""
                click.echo(f"{seconds:6.1f} s  {row['name']}  {row['state']}{stage}{percent}{message}")


class _Picture:
    """A table that is drawn again in place: as many nodes as the terminal has room for, the ready ones last."""

    def __init__(self) -> None:
        self._live = Live(refresh_per_second=4)
        self._start = time.monotonic()

    def __enter__(self) -> "_Picture":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, rows: list[dict[str, Any]]) -> None:
        room = max(1, self._live.console.height - FRAME)
        shown = sorted(rows, key=lambda row: row["state"] == "ready")[:room]
        more = f"and {len(rows) - len(shown)} more" if len(rows) > len(shown) else None
        table = Table("node", "state", "stage", "image", "percent", "seconds", "message", caption=more)
        for row in shown:
            percent = "" if row["percent"] is None else f"{row['percent']} %"
            seconds = row["seconds"] if row["seconds"] is not None else f"{time.monotonic() - self._start:.0f} …"
            table.add_row(
                row["name"],
                Text(row["state"], _COLOURS.get(row["state"], "white")),
                row["stage"],
                row["version"],
                percent,
                str(seconds),
                Text(row["message"]),  # as it is: a bracket in it is no markup
            )
        self._live.update(table)
