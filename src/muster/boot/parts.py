"""What each line of a plan decides of the running node, so that what a reboot would change has a name."""

import hashlib
from collections.abc import Iterable

from muster.model.images import is_live

IMAGE, ROOT, PLACEMENT, INTERFACES, NAME = "image", "root", "placement", "interfaces", "name"

_PARTS = {
    "mode": ROOT,
    "root.sha256": IMAGE,
    "verity": IMAGE,
    "acls.sha256": IMAGE,
    "init": IMAGE,
    "tmp": PLACEMENT,
    "var": PLACEMENT,
    "disk.scratch": PLACEMENT,
    "disk.swap": PLACEMENT,
    "disk.make": PLACEMENT,
    "interface": INTERFACES,
    "node": NAME,
}

NO_PART = (
    *("muster-plan", "boot", "digest", "token", "now", "action", "reason", "image"),
    *("url.plan", "url.report", "url.heartbeat", "url.overlay"),
    # From where it came and how large it is; its hash says what it is.
    *("root.url", "root.size", "root.unpacked", "nfs", "nfs.file", "nfs.id", "acls.url", "acls.size"),
    # Only for the way to the root: gone when the node runs.
    *("kit", "extra.sha256", "extra.size", "extra.url"),
    # Takes effect on the running node.
    "upper",
    # Compared as bytes.
    *("overlay.sha256", "overlay.size"),
)
"""Lines that decide nothing that lasts until the next boot, or that are compared in another way.

An `image` line counts for NAME@live only.
"""


def parts(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of the lines (key, value) of a plan: for each part that they decide a digest of what they say of it."""
    said: dict[str, list[str]] = {}
    for key, value in lines:
        # a version goes by its blobs, a tree by its name
        part = IMAGE if key == "image" and is_live(value) else _PARTS.get(key)
        if part is not None:
            said.setdefault(part, []).append(f"{key} {value}")
    return {part: hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] for part, texts in said.items()}


def lines_of(plan: str) -> list[tuple[str, str]]:
    """The lines of a plan's text."""
    pairs = (line.partition("\t") for line in plan.splitlines())
    return [(key, value) for key, _, value in pairs]
