"""Power driver `lab`: the virtual machines of a `muster lab`, switched over the lab's own socket.

`address` is the path of that socket (`DIR/lab.sock`); its answers are described in lab/control.py.
"""

from pathlib import Path
from typing import Literal

from muster.host.ask import ask
from muster.model.errors import MusterError

Action = Literal["on", "off", "cycle", "reset"]
State = Literal["on", "off"]

TIME_LIMIT = 20.0


def set_power(address: str, node: str, action: Action) -> None:
    """Switch a node; on and off do nothing when it is so already, reset needs it on.

    UnreachableError: the lab does not answer within 20 s. RequestError: it has no such node, or cannot do this now.
    """
    ask(Path(address), {"verb": "power", "nodes": [node], "action": action}, timeout=TIME_LIMIT)


def power_state(address: str, node: str) -> State:
    """Whether a node's machine runs. UnreachableError and RequestError as in `set_power`."""
    answer = ask(Path(address), {"verb": "state", "nodes": [node]}, timeout=TIME_LIMIT)
    states = answer.get("power")
    match states.get(node) if isinstance(states, dict) else None:
        case "on":
            return "on"
        case "off":
            return "off"
        case other:
            raise MusterError(f"not a power state: {other!r}", where=f"{address}: {node}")
