"""What `muster lab status` shows: the lab's own knowledge of each machine, and the controller's where it answers."""

from pathlib import Path

from muster.client import Client, ClientError
from muster.lab import lifecycle
from muster.lab.plan import Lab

NODES = "/api/1/objects/node"
TIME_LIMIT = 5.0


def rows(lab: Lab) -> list[dict[str, object]]:
    """One row a machine; `state` is empty without a controller or for a machine that it does not know. `controller`
    is the same in each: running, stopped, starting or stopping.

    UnreachableError when the lab is not running.
    """
    now = lifecycle.status(lab)
    states = _states(lab)
    return [
        {
            "node": machine.name,
            "firmware": machine.firmware,
            "mac": machine.mac,
            "address": machine.address,
            "power": now.power.get(machine.name, ""),
            "state": states.get(machine.name, ""),
            "controller": now.controller,
            "console": str(lab.console_log(machine.name)),
        }
        for machine in lab.machines
    ]


def _states(lab: Lab) -> dict[str, str]:
    if lab.controller is None:
        return {}
    try:
        nodes = Client(Path(lab.controller.socket), timeout=TIME_LIMIT).get(NODES, {"columns": "name,state"})
    except ClientError:
        return {}
    if not isinstance(nodes, list):
        return {}
    return {
        str(node["name"]): str(node.get("state") or "") for node in nodes if isinstance(node, dict) and "name" in node
    }
