"""What an administrator orders of running nodes: put it, wait for it within bounds, say what came of it on each."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from muster.boot.heartbeat import Done
from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.node_views import states
from muster.controller.orders import FREE, STALE, Order
from muster.model.images import LIVE
from muster.model.noderange import select
from muster.model.objects import Image
from muster.model.states import NEVER

ORDER = "order"
"""The kind under which orders are in the audit log."""

MOST_SECONDS = 600.0
"""The longest that anybody may wait for nodes."""

_OPEN = re.compile(r"open (?P<path>.+) (?P<pid>[0-9]{1,10}) (?P<command>.*)")
Row = dict[str, object]


@dataclass(frozen=True)
class Asked:
    """A node and the order it got, or why it got none."""

    node: str
    order: Order | None
    error: str = ""


def free(context: Context, names: str, who: str) -> list[Asked]:
    """Order every node of the range to give back RAM that holds what can be made again."""
    chosen = [node.name for node in select(context.world, names, states(context))]
    return _put(context, chosen, FREE, who)


def stale(context: Context, image: str, who: str) -> list[Asked]:
    """Order every node that runs the editable tree of `image` to name the files that it does not see as they are."""
    context.world.get(Image, image)
    live = f"{image}{LIVE}"
    running = [name for name, boot in sorted(context.boots.by_node().items()) if boot.image == live]
    return _put(context, running, STALE, who)


async def answers(context: Context, asked: Sequence[Asked], timeout: float) -> list[Row]:
    """One row a node, when all have answered or after `timeout` seconds: `lines` that it said, or an `error`."""
    waiting = [asyncio.wrap_future(each.order.end) for each in asked if each.order]
    try:
        if waiting:
            await asyncio.wait(waiting, timeout=timeout)
        return [_row(each, timeout) for each in asked]
    finally:
        for each in asked:
            if each.order:
                context.orders.leave(each.order)


def stale_files(rows: Sequence[Row]) -> list[Row]:
    """The rows of `stale` with the files in place of lines: `what` is own, or open with `pid` and `command`."""
    return [
        {"name": row["name"], "stale": [_stale_file(line) for line in lines], "error": row["error"]}
        for row in rows
        if isinstance(lines := row["lines"], list)
    ]


def _stale_file(line: str) -> Row:
    """A line of the agent: `own PATH`, `open PATH PID COMM`, or words such as how many more there are."""
    if found := _OPEN.fullmatch(line):
        return {"what": "open", "path": found["path"], "pid": int(found["pid"]), "command": found["command"]}
    if line.startswith("own "):
        return {"what": "own", "path": line.removeprefix("own ")}
    return {"what": "note", "path": line}


def _put(context: Context, names: Sequence[str], word: str, who: str) -> list[Asked]:
    boots, now = context.boots.by_node(), context.clock.now()
    cannot = {name: why for name in names if (why := _cannot(boots.get(name), now))}
    if able := [name for name in names if name not in cannot]:
        context.store.note(ORDER, word, able, who)
    return [_put_one(context, name, boots.get(name), word, cannot.get(name, "")) for name in names]


def _cannot(boot: Boot | None, now: float) -> str:
    """Why this node takes no order, or nothing."""
    state = boot.state(now) if boot else NEVER
    if boot is None or state != "ready":
        return f"is not running: its state is {state}"
    if boot.heartbeat is not None and not boot.heartbeat.mode:
        return "its agent is of an older release and takes no orders: a reboot renews it"
    return ""


def _put_one(context: Context, name: str, boot: Boot | None, word: str, cannot: str) -> Asked:
    if boot is None or cannot:
        return Asked(name, None, cannot)
    order = context.orders.put(boot.boot, word)
    return Asked(name, order, "" if order else "is busy with another order: try again")


def _row(asked: Asked, timeout: float) -> Row:
    if asked.order is None:
        return _failed(asked.node, asked.error)
    if not asked.order.end.done():
        return _failed(asked.node, f"did not answer within {timeout:g} s")
    done: Done | None = asked.order.end.result()
    if done is None:
        return _failed(asked.node, "its boot ended, or the controller stopped, before it answered")
    error = f"failed with exit status {done.status}" if done.status else None
    return {"name": asked.node, "lines": list(done.lines), "error": error}


def _failed(node: str, error: str) -> Row:
    return {"name": node, "lines": [], "error": error}
