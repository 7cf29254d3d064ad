"""What the agent of a running node says of itself, parsed once; bounded, and never more than a claim."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from muster.boot.facts import parse_lines
from muster.model.errors import RequestError

MAX_BYTES = 64 * 1024
"""Of a whole heartbeat: the result of an order may be in it."""

STATES = ("starting", "ready", "stopping")
MOST_TROUBLES = 8
MOST_LINES = 200
_LONGEST_TROUBLE = 200
_REPEATED = ("trouble", "line")
_MODE = re.compile(r"[a-z]{1,16}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}@([0-9a-f]{12}|live)")
_DIGEST = re.compile(r"[0-9a-f]{16}")
_ORDER = re.compile(r"[0-9a-f]{16}")
_KIB = re.compile(r"[0-9]{1,12}")
_STATUS = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True)
class Done:
    """How an order ended: the exit status of what was done, and what it said."""

    order: str
    status: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Heartbeat:
    """One word of an agent. `uptime` in seconds, memory in KiB; what was not said, or makes no sense, is empty or None.

    `ram_image`: the image in RAM; `ram_upper`: what the node wrote, of at most `upper_limit`; `ram_own`: Muster's own
    files; `ram_placed`: /tmp and /var where each is a tmpfs. `plan` is the digest of the plan that it booted.
    """

    state: str
    uptime: float = 0.0
    message: str = ""
    mode: str = ""
    image: str = ""
    plan: str = ""
    ram_image: int | None = None
    ram_upper: int | None = None
    ram_own: int | None = None
    ram_placed: int | None = None
    upper_limit: int | None = None
    troubles: tuple[str, ...] = ()
    done: Done | None = None


def heartbeat(body: bytes) -> Heartbeat:
    """From `key TAB value` lines. Raises RequestError for a body that is none, or an unknown state."""
    lines = parse_lines(body, limit=MAX_BYTES, repeated=_REPEATED)
    first = {key: entries[0] for key, entries in lines.items()}
    if first.get("state") not in STATES:
        raise RequestError(f"state is one of {', '.join(STATES)}")
    troubles = (text[:_LONGEST_TROUBLE] for text in lines.get("trouble", ()) if text)
    return Heartbeat(
        state=first["state"],
        uptime=_seconds(first.get("uptime", "")),
        message=first.get("message", ""),
        mode=_matching(_MODE, first.get("mode", "")),
        image=_matching(_IMAGE, first.get("image", "")),
        plan=_matching(_DIGEST, first.get("plan-digest", "")),
        ram_image=_kib(first.get("ram-image", "")),
        ram_upper=_kib(first.get("ram-upper", "")),
        ram_own=_kib(first.get("ram-own", "")),
        ram_placed=_kib(first.get("ram-placed", "")),
        upper_limit=_kib(first.get("upper-limit", "")),
        troubles=tuple(dict.fromkeys(troubles))[:MOST_TROUBLES],
        done=_done(first, lines.get("line", ())),
    )


def _done(first: Mapping[str, str], lines: tuple[str, ...]) -> Done | None:
    """An end without a status that a program can have is a failure."""
    order, status = _matching(_ORDER, first.get("order", "")), first.get("status", "")
    if not order:
        return None
    known = _STATUS.fullmatch(status) and int(status) <= 255
    return Done(order, int(status) if known else 255, lines[:MOST_LINES])


def _matching(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""


def _kib(text: str) -> int | None:
    return int(text) if _KIB.fullmatch(text) else None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
