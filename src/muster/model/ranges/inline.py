"""Files of a range, put into it where the command is given: what goes to the controller names no file."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from muster.model.errors import RequestError
from muster.model.ranges.grammar import File, Meet, Range, Step, Term, parse, render, terms
from muster.model.ranges.names import fold

Read = Callable[[str], str]
"""The text of the file with this name (`-`: standard input). Raises RequestError when it cannot be read."""

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._]*")
"""A name that cannot be a range of two names."""


def inlined(text: str, read: Read) -> str:
    """The range with every `^file` replaced by its content. Text that is no range comes back for others to refuse."""
    if "^" not in text:
        return text
    tree = parse(text)
    if not any(isinstance(term, File) for term in terms(tree)):
        return text
    return render(_range(tree, read))


def of_lines(text: str, where: str) -> Range:
    """The range of a file's lines: their union, less what any line excludes with `-`. `#` begins a comment.

    RequestError names file and line. A file names no other file.
    """
    plain: list[str] = []
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if _PLAIN.fullmatch(words):
            plain.append(words)
        elif words:
            steps.extend(_line(words, f"{where}:{number}"))
    if plain:
        steps.insert(0, Step(",", Range(parse(fold(plain)).steps)))
    if not steps:
        raise RequestError("no node is named in it", where=where)
    return Range(tuple(steps))


def _line(words: str, where: str) -> Iterator[Step]:
    """A line is a range of its own, but what it excludes is excluded from the whole file."""
    try:
        tree = parse(words)
    except RequestError as error:
        raise RequestError(error.message, where=where, hint=error.hint) from error
    if any(isinstance(term, File) for term in terms(tree)):
        raise RequestError("a file of nodes cannot name another file", where=where)
    excluded = [replace(step, operator=",") for step in tree.steps if step.exclude]
    if len(excluded) < len(tree.steps):
        yield tree.steps[0] if len(tree.steps) == 1 else Step(",", tree)
    yield from excluded


def _range(tree: Range, read: Read) -> Range:
    return Range(tuple(replace(step, term=_term(step.term, read)) for step in tree.steps))


def _term(term: Term, read: Read) -> Term:
    match term:
        case File(name):
            return of_lines(read(name), "standard input" if name == "-" else name)
        case Range():
            return _range(term, read)
        case Meet(left, right):
            return Meet(_term(left, read), _term(right, read))
        case _:
            return term
