"""The plan: the flat text that tells a node what to do (`key TAB value` lines, the first `muster-plan 1`)."""

import hashlib
from dataclasses import dataclass

from muster.boot import roots
from muster.boot.decide import Decision, Run
from muster.boot.roots import Asker, Lines, Supplies
from muster.model import urls
from muster.model.objects import Blob, Node

FORMAT = "1"
INIT = "/sbin/init"


@dataclass(frozen=True)
class BootKey:
    """What a plan grants to one boot: its id, and the token that opens its node's data."""

    boot: str
    token: str


@dataclass(frozen=True)
class OverlayData:
    """The rendered overlay that the node will fetch."""

    sha256: str
    size: int


def render(
    decision: Decision, overlay: OverlayData | None, key: BootKey, asker: Asker, supplies: Supplies, now: float
) -> str:
    """The plan's text; a decision to run is `roots.equipped`. `now` is the controller's clock in seconds.

    A node that runs another kernel than its version's (it was unknown when it booted, or its image
    changed) is told to reboot: the version's modules would not fit.
    """
    body, server = _body(decision, overlay, asker, supplies), asker.server
    lines = [
        ("muster-plan", FORMAT),
        ("boot", key.boot),
        ("digest", digest(body)),
        ("token", key.token),
        ("now", str(int(now))),
        *((f"url.{word}", server + url.format(boot=key.boot)) for word, url in _URLS),
        ("url.overlay", server + _overlay_url(key.boot, overlay)),
        *body,
    ]
    return "".join(f"{name}\t{_one_line(value)}\n" for name, value in lines)


_URLS = (
    ("plan", urls.NODE_PLAN),
    ("report", urls.NODE_REPORT),
    ("heartbeat", urls.NODE_HEARTBEAT),
)


def digest(body: Lines) -> str:
    """16 hex that change when anything but token and clock changes."""
    return hashlib.sha256(repr(body).encode()).hexdigest()[:16]


def node_lines(node: Node) -> Lines:
    """The node's name, and how it shall call its network interfaces."""
    return [("node", node.name), *(("interface", f"{i.name} {i.mac}") for i in node.interfaces if i.mac)]


def _overlay_url(boot: str, overlay: OverlayData | None) -> str:
    """Naming the bytes that were promised, so that others are answered by 409 and not sent in vain."""
    url = urls.NODE_OVERLAY.format(boot=boot)
    return f"{url}?sha256={overlay.sha256}" if overlay else url


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _body(decision: Decision, overlay: OverlayData | None, asker: Asker, supplies: Supplies) -> Lines:
    if not isinstance(decision, Run):
        return [("action", "wait"), ("reason", decision.reason)]
    version = decision.version
    if asker.kernel != version.kernel_release:
        return [
            ("action", "reboot"),
            ("reason", f"{version.name} has kernel {version.kernel_release}, this is {asker.kernel}"),
        ]
    if overlay is None:
        raise ValueError("a node that runs an image needs its overlay")
    return [
        ("action", "run"),
        *node_lines(decision.node),
        *roots.lines(decision, asker, supplies),
        *roots.blob("overlay", Blob(sha256=overlay.sha256, size=overlay.size)),
        ("init", INIT),
    ]
