"""What nodes say while they boot and run: stage reports and heartbeats."""

import re

from muster.boot import tokens
from muster.boot.facts import parse_lines
from muster.controller.context import Context
from muster.controller.node_plan import NodeRequest
from muster.model.errors import RequestError
from muster.model.stages import STAGES, STATUSES, WAIT
from muster.store.timelines import Report

MAX_BYTES = 4096
_NUMBER = re.compile(r"^[0-9]{1,9}(\.[0-9]{1,3})?$")
HEARTBEAT_STATES = ("starting", "ready", "stopping")


def report(context: Context, request: NodeRequest, body: bytes) -> None:
    """Enter one stage report into the boot's timeline. Raises RequestError for words we do not know."""
    words = _words(body)
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


def heartbeat(context: Context, request: NodeRequest, body: bytes) -> str:
    """Note the agent's sign of life and renew its token. Raises RequestError for an unknown state."""
    words = _words(body)
    if words.get("state") not in HEARTBEAT_STATES:
        raise RequestError(f"state is one of {', '.join(HEARTBEAT_STATES)}")
    _assign(context, request)
    context.boots.heartbeat(request.boot, words)
    boot = request.boot
    token = tokens.issue(context.token_key, boot.machine, boot.boot, context.clock.now())
    return f"token\t{token}\nsequence\t{context.world.revision}\n"


def _assign(context: Context, request: NodeRequest) -> None:
    """The machine may have become a node, or another one, since it last said something; a plan is asked by GET."""
    context.boots.assign(request.boot, request.node.name if request.node else None)


def _words(body: bytes) -> dict[str, str]:
    return {key: entries[0] for key, entries in parse_lines(body, limit=MAX_BYTES).items()}
