"""Ranges as text and as a tree.

    range  := step { ("," | "!" | "&" | "^") step }      left to right, blanks between as you like
    step   := ["-"] term                                 "-": taken out of this range's result, at the end
    term   := start { "@" ( "(" range ")" | "@" group | group or word ) }
    start  := "(" range ")" | "^" file | "/" regex | "@" group | label ("==" | "!=" | "=~" | "!~") value | word
    group  := "all" | profile | label ":" value | "state:" state          values may be quoted

`!` before `=` or `~` is an operator only behind a complete term, as with `^` (a file where a term may start).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from muster.model.errors import RequestError
from muster.model.ranges.names import shortened

MAX_TEXT = 4 * 2**20
"""The most characters of a range: 200,000 names written out have this room."""

MAX_DEPTH = 50
OPERATORS = ",!&^"
_WORD = re.compile(r"(?:[A-Za-z0-9_.:+-]|\[[^\[\]]*\])+")
_BARE = re.compile(r"[^,!&^@()\s\"']*")
_GROUP = re.compile(r"(?:[^,!&^@()\s\"'\[\]]|\[[^\[\]]*\])+")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_TEST = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)(==|!=|=~|!~)")
_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True)
class Word:
    """A name or names: `n1`, `n[1-3]`, `n1-n3`, `n1+2`."""

    text: str


@dataclass(frozen=True)
class Group:
    """`@value` (key empty) or `@key:value`; brackets in a value that was not quoted make several groups."""

    key: str
    value: str
    quoted: bool = False


@dataclass(frozen=True)
class Regex:
    """`/pattern`."""

    pattern: str


@dataclass(frozen=True)
class Test:
    """`label==value` and its kin."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class File:
    """`^name`; `-` is standard input."""

    name: str


@dataclass(frozen=True)
class Reference:
    """A bare word behind an infix `@`: a node when there is one of this name, else a group, else names."""

    text: str


@dataclass(frozen=True)
class Meet:
    """`left@right`."""

    left: "Term"
    right: "Term"


@dataclass(frozen=True)
class Step:
    """A term with the operator before it (the first has `,`); `exclude` for `-term`."""

    operator: str
    term: "Term"
    exclude: bool = False


@dataclass(frozen=True)
class Range:
    """A chain of steps: a whole range, or one in parentheses."""

    steps: tuple[Step, ...]


Term = Word | Group | Regex | Test | File | Reference | Meet | Range


def parse(text: str) -> Range:
    """The tree of a range. Raises RequestError that says at which character it stops being one."""
    if len(text) > MAX_TEXT:
        raise RequestError(f"a node range of {len(text)} characters is longer than {MAX_TEXT}")
    if not text.strip():
        raise RequestError("a node range is empty")
    parser = _Parser(text)
    found = parser.range()
    if not parser.ended():
        raise parser.error("there is no ( for this )")
    return found


def terms(tree: Range) -> Iterator[Term]:
    """Every term in a tree, parentheses and intersections opened."""
    todo: list[Term] = [tree]
    while todo:
        term = todo.pop()
        if isinstance(term, Range):
            todo.extend(step.term for step in term.steps)
        elif isinstance(term, Meet):
            todo += [term.left, term.right]
        else:
            yield term


def asks_cluster(tree: Range) -> bool:
    """Whether more than names is written: groups, patterns, labels, or a bare word behind `@`."""
    return any(isinstance(term, (Group, Regex, Test, Reference)) for term in terms(tree))


def render(tree: Range) -> str:
    """The text of a tree; parsing it gives the same tree."""
    parts = [
        f"{step.operator if at else ''}{'-' * step.exclude}{_text(step.term)}" for at, step in enumerate(tree.steps)
    ]
    return "".join(parts)


def _text(term: Term) -> str:
    match term:
        case Word(text) | Reference(text):
            return text
        case Group(key, value, quoted):
            return f"@{key}{':' if key else ''}{_quote(value) if quoted else value}"
        case Regex(pattern):
            return f"/{pattern}"
        case Test(label, operator, value):
            return f"{label}{operator}{value if operator.endswith('~') else _quote(value)}"
        case File(name):
            return f"^{_quote(name)}"
        case Meet(left, right):
            return f"{_text(left)}@{_text(right)}"
        case Range():
            return f"({render(term)})"


def _quote(value: str) -> str:
    """Any value that was read has at most one of the two quotes in it."""
    if value and _BARE.fullmatch(value):
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


class _Parser:
    """Recursive descent; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def ended(self) -> bool:
        return self._at >= len(self._text)

    def error(self, why: str) -> RequestError:
        return RequestError(f"not a node range: {shortened(self._text)}: {why} (character {self._at + 1})")

    def range(self) -> Range:
        steps: list[Step] = []
        operator = ","
        while True:
            self._skip_blanks()
            exclude = self._take("-")
            steps.append(Step(operator, self._term(), exclude))
            self._skip_blanks()
            if self.ended() or self._peek() == ")":
                return Range(tuple(steps))
            operator = self._operator()

    def _operator(self) -> str:
        found = self._peek()
        if found not in OPERATORS:
            raise self.error("one of , ! & ^ is missing" + (", or == for =" if found == "=" else ""))
        self._at += 1
        return found

    def _term(self) -> Term:
        term = self._start()
        while self._take("@"):
            term = Meet(term, self._right())
        return term

    def _start(self) -> Term:
        if self._take("("):
            return self._inside()
        if self._take("^"):
            return File(self._value("a file's name is missing", empty=False)[0])
        if self._take("/"):
            return Regex(self._pattern())
        if self._take("@"):
            return self._group()
        if (test := self._match(_TEST)) is not None:
            label, operator = test[1], test[2]
            value = self._pattern() if operator.endswith("~") else self._value("", empty=True)[0]
            return Test(label, operator, value)
        if (word := self._match(_WORD)) is not None and not word[0].startswith("-"):
            return Word(word[0])
        raise self.error("a name, a group or a ( is missing")

    def _right(self) -> Term:
        if self._take("("):
            return self._inside()
        if self._take("@"):
            return self._group()
        if (word := self._match(_GROUP)) is None:
            raise self.error("behind @ a group, a name or a ( is missing")
        return Reference(word[0])

    def _inside(self) -> Range:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} parentheses in one another")
        inner = self.range()
        if not self._take(")"):
            raise self.error("a ( is not closed")
        self._depth -= 1
        return inner

    def _group(self) -> Group:
        if (found := self._match(_GROUP)) is None:
            raise self.error("a group's name is missing")
        return self._quoted_group(found[0][:-1]) if found[0].endswith(":") else group(found[0])

    def _quoted_group(self, key: str) -> Group:
        value, quoted = self._value("a value is missing behind the colon", empty=False)
        return Group(key, value, quoted)

    def _value(self, missing: str, *, empty: bool) -> tuple[str, bool]:
        if (quoted := self._match(_QUOTED)) is not None:
            return quoted[0][1:-1], True
        bare = self._match(_BARE)
        if bare is None or not (bare[0] or empty):
            raise self.error(missing)
        return bare[0], False

    def _pattern(self) -> str:
        """Up to an operator or blank that is in no parentheses, brackets or braces of the expression's own."""
        end = _pattern_end(self._text, self._at)
        if end == self._at:
            raise self.error("a pattern is missing")
        pattern, self._at = self._text[self._at : end], end
        return pattern

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _skip_blanks(self) -> None:
        self._match(_BLANKS)


def group(text: str) -> Group:
    """The group that bare text names."""
    key, colon, value = text.partition(":")
    return Group(key, value) if colon else Group("", text)


def _pattern_end(text: str, start: int) -> int:
    depth, at = 0, start + text.startswith("^", start)
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "[":
            at = _class_end(text, at)
        elif character in "({":
            depth += 1
        elif character in ")}" and depth:
            depth -= 1
        elif depth == 0 and (character in ",!&^@)" or character.isspace()):
            break
        at += 1
    return min(at, len(text))


def _class_end(text: str, start: int) -> int:
    """Where the ] of a [ is; a ] that comes first in it is a member."""
    at = start + 1 + text.startswith("^", start + 1)
    at += text.startswith("]", at)
    while at < len(text) and text[at] != "]":
        at += 1 + (text[at] == "\\")
    return at
