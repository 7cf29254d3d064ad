"""Ranges as they come from a shell: files are put into them here, and what a shell did to them is noticed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from muster.cli import output
from muster.client import ClientError
from muster.model.errors import RequestError

MAX_FILE = 4 * 2**20
"""The most bytes of a file of nodes."""

_NOT_FOUND = 404


def prepared(text: str) -> str:
    """The range as the controller is asked for it: with the content of every `^file` instead of the file."""
    if "^" not in text:
        return text
    from muster.model.ranges.inline import inlined

    return inlined(text, read)


def read(name: str) -> str:
    """The text of a file of nodes, `-` for standard input. Raises RequestError that names it."""
    where = "standard input" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise RequestError(f"a file of nodes has at most {MAX_FILE} bytes", where=where)
        return data.decode()
    except OSError as error:
        raise RequestError(f"cannot read the file of nodes: {error.strerror}", where=where) from error
    except UnicodeDecodeError as error:
        raise RequestError("not text in UTF-8", where=where) from error


@contextmanager
def shell_noticed(text: str, *, warn: bool = True) -> Iterator[None]:
    """Say so where a range is the name of a file here: an unquoted n[1-3] becomes that by the shell's own hand.

    Of a node that does not exist the error says it; of one that does, a warning, since fewer nodes than were
    meant may be in it.
    """
    hint = file_hint([text])
    if hint and warn:
        output.warn(f"warning: {hint}")
    try:
        yield
    except ClientError as error:
        if hint and error.status == _NOT_FOUND:
            raise ClientError(f"{error}\n  hint: {hint}", error.exit_status, error.status) from error
        raise


def file_hint(words: list[str]) -> str:
    """What to say of words that may be the shell's; empty when none is the name of a file here."""
    files = [word for word in words if _is_plain(word) and Path(word).exists()]
    if not files:
        return ""
    return f"{' '.join(files)}: a file here has this name; a shell replaces n[1-3] by such names: quote it, 'n[1-3]'"


def _is_plain(word: str) -> bool:
    return len(word) < 256 and word.replace("-", "").replace("_", "").replace(".", "").isalnum()
