"""What nodes say while they boot and run: stage reports and heartbeats, and what a heartbeat is answered."""

import re

from muster.boot import heartbeat as heartbeats
from muster.boot import tokens
from muster.boot.facts import parse_lines
from muster.controller import node_plan
from muster.controller.context import Context
from muster.controller.node_plan import NodeRequest
from muster.model.cascade import Cascade
from muster.model.errors import NotFoundError, RequestError
from muster.model.objects import Node
from muster.model.stages import STAGES, STATUSES, WAIT
from muster.store.timelines import Report

MAX_BYTES = 4096
HEARTBEAT_MAX_BYTES = heartbeats.MAX_BYTES
_NUMBER = re.compile(r"^[0-9]{1,9}(\.[0-9]{1,3})?$")

REPEAT_SECONDS = 5.0
"""After which a node that was told its order is told it again: the answer with it may have been lost."""


def report(context: Context, request: NodeRequest, body: bytes) -> None:
    """Enter one stage report into the boot's timeline. Raises RequestError for words we do not know."""
    words = {key: entries[0] for key, entries in parse_lines(body, limit=MAX_BYTES).items()}
    stage, status = words.get("stage", ""), words.get("status", "")
    if stage not in (*STAGES, WAIT) or status not in STATUSES:
        raise RequestError(f"no such stage or status: {stage!r} {status!r}")
    _assign(context, request)
    uptime = words.get("uptime", "")
    entry = Report(
        at=context.clock.now(),
        uptime=float(uptime) if _NUMBER.match(uptime) else 0.0,
        stage=stage,
        status=status,
        message=words.get("message", ""),
    )
    percent = words.get("percent", "")
    context.boots.report(request.boot, entry, min(100, int(percent)) if re.fullmatch(r"[0-9]{1,3}", percent) else None)


def heartbeat(context: Context, request: NodeRequest, body: bytes, server: str) -> None:
    """Note the agent's sign of life, and what came of its order. Raises RequestError for what is no heartbeat.

    `server` is our URL as the node reaches it.
    """
    said = heartbeats.heartbeat(body)
    _assign(context, request)
    boot = request.boot
    context.boots.heartbeat(boot, said)
    if said.plan:
        node_plan.settle(context, boot, said.plan, server)
    if said.done:
        context.orders.done(boot.boot, said.done)
    if said.state == "stopping":
        context.orders.drop(boot.boot)
    if boot.upper_told is None:
        boot.upper_told = _upper_of(context, request)  # as its plan said


def patience(context: Context, request: NodeRequest) -> float:
    """The seconds for which a heartbeat may be held: none when there is something new to tell."""
    order = context.orders.of(request.boot.boot)
    if (order and not order.told) or _upper_of(context, request) != request.boot.upper_told:
        return 0.0
    return REPEAT_SECONDS if order else float("inf")


def answer(context: Context, request: NodeRequest) -> str:
    """A new token, the revision, the size of the upper layer and the order that there is for this node now."""
    boot = request.boot
    lines = [
        ("token", tokens.issue(context.token_key, boot.machine, boot.boot, context.clock.now())),
        ("sequence", str(context.world.revision)),
    ]
    if upper := _upper_of(context, request):
        lines.append(("upper", upper))
    boot.upper_told = upper
    if order := context.orders.of(boot.boot):
        lines.append(("order", f"{order.id} {order.word}"))
        order.told = True
    return "".join(f"{key}\t{value}\n" for key, value in lines)


def upper_size(cascade: Cascade, node: Node) -> str | None:
    """The size that the node's upper layer is to have; None while it cannot be configured."""
    try:
        return cascade.upper_size(node)
    except NotFoundError:
        return None


def _upper_of(context: Context, request: NodeRequest) -> str | None:
    world = context.world
    node = world.find(Node, request.node.name) if request.node else None
    return upper_size(Cascade(world), node) if node else None


def _assign(context: Context, request: NodeRequest) -> None:
    """The machine may have become a node, or another one, since it last said something; a plan is asked by GET."""
    context.boots.assign(request.boot, request.node.name if request.node else None)
