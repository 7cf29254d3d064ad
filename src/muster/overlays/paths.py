"""Which names an overlay may lay on a node: plain, absolute, printable, without detours."""

import re
import unicodedata

LONGEST_PATH = 4000
LONGEST_NAME = 255
WHITEOUT = ".wh."
_OVERLAY_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class PathError(ValueError):
    """The text is not a path that may be laid; the message says why."""


def relative(text: str) -> str:
    """The path below the node's root (`etc/hosts`) of an absolute path (`/etc/hosts`).

    Raises PathError for anything else: `..`, `.`, `//`, a trailing slash, control characters, names of whiteouts.
    """
    if not text.startswith("/"):
        raise PathError(f"{text!r} does not start with /")
    path = text[1:]
    check(path)
    return path


def check(path: str) -> None:
    """Raise PathError unless `path` (relative, below the node's root) may be laid."""
    if not printable(path):
        raise PathError(f"{path!r} has control characters or is not UTF-8")
    if len(path.encode()) > LONGEST_PATH:
        raise PathError(f"the path is longer than {LONGEST_PATH} bytes")
    for name in path.split("/"):
        _check_name(name, path)


def _check_name(name: str, path: str) -> None:
    if name in ("", ".", ".."):
        raise PathError(f"{path!r} has an empty, `.` or `..` part")
    if len(name.encode()) > LONGEST_NAME:
        raise PathError(f"{path!r} has a part longer than {LONGEST_NAME} bytes")
    if name.startswith(WHITEOUT):
        raise PathError(f"{path!r} begins with {WHITEOUT}, which marks deletions; list the file under `delete` instead")


def printable(text: str) -> bool:
    """Whether the text is free of control, format, surrogate and unassigned characters (Unicode category C)."""
    return not any(unicodedata.category(character).startswith("C") for character in text)


def parents(path: str) -> list[str]:
    """The folders above a path, nearest first: `a/b/c` gives `a/b`, `a`."""
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]


def is_overlay_name(text: str) -> bool:
    """Lower case, digits, `.`, `_`, `-`, at most 64, beginning with a letter or digit."""
    return bool(_OVERLAY_NAME.fullmatch(text))
