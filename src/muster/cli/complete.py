"""What the words of a command complete to, asked of the controller; silently nothing when it is away.

Each name here is handed to click as `shell_complete=`. Light: a shell starts this at every TAB.
"""

from collections.abc import Callable, Sequence

import click
from click.shell_completion import CompletionItem

from muster.client import Client, ClientError
from muster.host.paths import Paths
from muster.model import urls

PATIENCE = 0.5
"""Seconds after which a TAB gives up."""

_UNFINISHED = ("=", ".", "@", ",")
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


def _of(what: str, kind: str) -> Complete:
    def ask(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
        prefix = context.find_root().params.get("prefix")
        client = Client(Paths.of(prefix).socket, timeout=PATIENCE)
        try:
            words = client.get(urls.API_COMPLETE, {"what": what, "kind": kind, "typed": typed})
        except ClientError:
            return []
        found = [str(word) for word in words] if isinstance(words, list) else []
        return [CompletionItem(word, unfinished=word.endswith(_UNFINISHED)) for word in found]

    return ask


def names(kind: str) -> Complete:
    """Several objects of a kind: a range with groups for nodes."""
    return _of("range", kind)


def name(kind: str) -> Complete:
    """One object of a kind."""
    return _of("name", kind)


def settings(kind: str) -> Complete:
    """`key=value` words of a kind."""
    return _of("setting", kind)


def words_of(choice: Sequence[str]) -> Complete:
    """One of these words after another, with commas."""

    def fitting(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
        head, comma, last = typed.rpartition(",")
        return [CompletionItem(f"{head}{comma}{word}") for word in choice if word.startswith(last)]

    return fitting


REFERENCE = _of("reference", "image")
"""An image, or an image with a tag."""


def audited(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The names of the kind that stands before."""
    return name(str(context.params.get("kind") or "node"))(context, parameter, typed)
