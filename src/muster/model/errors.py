"""The tree of errors that a person may see: what was asked, what is wrong, where, and what to do.

Every error that leaves a controller function or a command is one of these; the command line turns
it into an exit status (DESIGN section 12) and the servers into an HTTP status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_BAD_REQUEST = 2
EXIT_OUR_FAULT = 3
MOST_LINES = 100
"""So many problems a message spells out; more are counted."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request, said so that whoever wrote the request can find it.

    `subject` is the object (`node n1`), `field` the way to the value inside it, `document` its number among
    the documents of the request, counted from 0. All three are empty where they make no sense.
    """

    message: str
    subject: str = ""
    field: tuple[str | int, ...] = ()
    document: int | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.subject, self.key, self.message) if part)

    @property
    def key(self) -> str:
        """The field as people write it: `interfaces.0.mac`."""
        parts = map(str, self.field)
        return ".".join(part if part.isprintable() else repr(part) for part in parts)


class MusterError(Exception):
    """The root of the tree: our fault unless a subclass says otherwise.

    `where` names the file and line, object or node; `hint` says what to do next; `problems` are the single
    things that are wrong, where a request can be wrong in more than one.
    """

    exit_status = EXIT_OUR_FAULT
    http_status = 500

    def __init__(self, message: str, *, where: str = "", hint: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.problems = tuple(problems)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class RequestError(MusterError):
    """What was asked cannot be done as asked: unknown key, bad value, missing argument."""

    exit_status = EXIT_BAD_REQUEST
    http_status = 400


class NotFoundError(RequestError):
    """The thing named does not exist."""

    http_status = 404


class ConflictError(RequestError):
    """The request was based on an older revision, or clashes with another object."""

    http_status = 409


class DeniedError(RequestError):
    """The caller may not have this: wrong token, wrong node, expired."""

    http_status = 403


class TooLargeError(RequestError):
    """An upload or a listing passes the bound set for it."""

    http_status = 413


class StoreError(MusterError):
    """The store cannot be read or written: broken is not absent."""

    http_status = 503


class UnreachableError(MusterError):
    """The controller does not answer."""

    http_status = 503


class CommandError(MusterError):
    """A program that we started failed; the message ends with the command to paste."""


class SomeFailedError(MusterError):
    """Some nodes of a request failed, each named in the message."""

    exit_status = EXIT_SOME_FAILED


def lines(problems: Sequence[object]) -> str:
    """Each once and on its own line, bounded: after MOST_LINES the rest is counted."""
    texts = list(dict.fromkeys(map(str, problems)))
    more = [f"... and {len(texts) - MOST_LINES} more"] if len(texts) > MOST_LINES else []
    return "\n".join([*texts[:MOST_LINES], *more])
