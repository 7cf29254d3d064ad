"""Makes the lab known to its controller, over the wire as an administrator would."""

from pathlib import Path

from muster.client import Client
from muster.lab.network import BRIDGE
from muster.lab.plan import CONTROLLER, NETWORK, POOL, Lab

APPLY = "/api/1/apply"


def documents(lab: Lab, image: str | None) -> list[dict[str, object]]:
    """The network, the nodes and, with an image, the profile that every node has, in their text form."""
    network: dict[str, object] = {
        "kind": "network",
        "name": "lab",
        "subnet": str(NETWORK),
        "address": CONTROLLER,
        "interface": BRIDGE,
        "mode": "own",
        "pool": POOL,
        **({"discovery_image": image} if image else {}),
    }
    profile: list[dict[str, object]] = [{"kind": "profile", "name": "default", "image": image}] if image else []
    return [network, *profile, *(_node(lab, machine.name) for machine in lab.machines if machine.known)]


def register(lab: Lab, image: str | None) -> None:
    """Apply the documents. muster.client.ClientError when the controller refuses them."""
    if lab.controller is not None:
        Client(Path(lab.controller.socket)).post(APPLY, {"documents": documents(lab, image), "dry_run": False})


def _node(lab: Lab, name: str) -> dict[str, object]:
    machine = lab.machine(name)
    return {
        "kind": "node",
        "name": machine.name,
        "machine": {"uuid": machine.uuid},
        "interfaces": [
            {"name": "eth0", "mac": machine.mac, "address": f"{machine.address}/{NETWORK.prefixlen}"},
        ],
        "power": {"driver": "lab", "address": str(lab.socket)},
        "kernel_arguments": ["console=ttyS0"],
    }
