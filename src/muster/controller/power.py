"""Switching nodes by their power drivers: several at once, each failure named."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from muster.controller.context import Context
from muster.controller.node_views import states
from muster.model.cascade import effective
from muster.model.errors import MusterError, RequestError
from muster.model.noderange import select
from muster.model.objects import Node, Power
from muster.power import lab

ACTIONS = ("on", "off", "cycle", "reset", "status")
_PARALLEL = 16


def switch(context: Context, names: str, action: str, who: str) -> list[dict[str, object]]:
    """Do `action` on every node of the range; a row for each, with `error` where it failed."""
    if action not in ACTIONS:
        raise RequestError(f"there is no power action {action!r}", hint=f"one of {', '.join(ACTIONS)}")
    nodes = select(context.world, names, states(context))
    configured = [(node, effective(context.world, node).settings.power) for node in nodes]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        rows = list(pool.map(lambda pair: _switch_one(pair[0], pair[1], action), configured))
    _audit(context, [node for node, _ in configured], action, who)
    return rows


def _switch_one(node: Node, power: Power | None, action: str) -> dict[str, object]:
    if power is None or power.driver is None or power.address is None:
        missing = "address" if power and power.driver else "driver"
        error = f"no power {missing} is set: muster node set {node.name} power.{missing}=..."
        return {"name": node.name, "power": None, "error": error}
    machine = power.user or node.name
    try:
        match action:
            case "on" | "off" | "cycle" | "reset":
                lab.set_power(power.address, machine, action)
        return {"name": node.name, "power": lab.power_state(power.address, machine), "error": None}
    except MusterError as error:
        return {"name": node.name, "power": None, "error": error.message}


def _audit(context: Context, nodes: Sequence[Node], action: str, who: str) -> None:
    if action != "status":
        context.store.note("power", action, [node.name for node in nodes], who)
