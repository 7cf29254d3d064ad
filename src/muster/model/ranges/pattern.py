"""Regular expressions that are matched in linear time: no expression, however made, can hold the controller.

Python's `re` backtracks without a limit of time and holds the interpreter meanwhile, so node boots would wait for
a slip in one administrator's pattern. Here an expression becomes an automaton of at most 512 states (Thompson)
and a text is read once. There are literals, `.`, `[a-z]`, `[^a-z]`, `\\d \\w \\s \\D \\W \\S`, `\\.`, `( )`, `(?: )`,
`|`, `* + ? {m} {m,} {m,n}`, and `^` first and `$` last, which say what holds anyway: all of the text must match.
"""

import string
from dataclasses import dataclass

from muster.model.errors import RequestError

MAX_LENGTH = 256
MAX_STATES = 512
_MAX_MOVES = 20_000
_MAX_DEPTH = 20
_DIGIT, _SPACE = frozenset(string.digits), frozenset(string.whitespace)
_WORD = frozenset(string.ascii_letters + string.digits + "_")
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}


@dataclass(frozen=True)
class _Chars:
    """One character that is in `members`, or is not."""

    members: frozenset[str]
    negated: bool = False

    def has(self, character: str) -> bool:
        return (character in self.members) != self.negated


@dataclass(frozen=True)
class _Sequence:
    parts: "tuple[_Part, ...]"


@dataclass(frozen=True)
class _Choice:
    options: "tuple[_Part, ...]"


@dataclass(frozen=True)
class _Repeat:
    part: "_Part"
    least: int
    most: int | None


_Part = _Chars | _Sequence | _Choice | _Repeat


class Pattern:
    """A compiled expression. RequestError for one that is none, or is too large."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise RequestError(f"a pattern of {len(text)} characters is longer than {MAX_LENGTH}")
        self._chars: list[_Chars | None] = [None]  # state 0: all has matched
        self._next: list[list[int]] = [[]]
        self._text = text
        self._start = self._closure([self._compile(_Reader(text).whole(), 0)])
        self._moves: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        """Whether all of `text` matches."""
        states = self._start
        for character in text:
            if (after := self._moves.get((states, character))) is None:
                after = self._move(states, character)
            states = after
        return 0 in states

    def _move(self, states: frozenset[int], character: str) -> frozenset[int]:
        reached = [self._next[s][0] for s in states if (chars := self._chars[s]) is not None and chars.has(character)]
        after = self._closure(reached)
        if len(self._moves) >= _MAX_MOVES:
            self._moves.clear()
        self._moves[states, character] = after
        return after

    def _closure(self, states: list[int]) -> frozenset[int]:
        """With the states that are reached without reading; those that only lead on are left out."""
        seen, todo = set(states), list(states)
        while todo:
            state = todo.pop()
            if self._chars[state] is None:
                new = [s for s in self._next[state] if s not in seen]
                seen.update(new)
                todo.extend(new)
        return frozenset(s for s in seen if s == 0 or self._chars[s] is not None)

    def _state(self, chars: _Chars | None, after: list[int]) -> int:
        if len(self._chars) >= MAX_STATES:
            raise RequestError(f"not a pattern we match: {self._text!r}: it is too large")
        self._chars.append(chars)
        self._next.append(after)
        return len(self._chars) - 1

    def _compile(self, part: _Part, after: int) -> int:
        """The state from which `part` and then `after` match."""
        match part:
            case _Chars():
                return self._state(part, [after])
            case _Sequence():
                for inner in reversed(part.parts):
                    after = self._compile(inner, after)
                return after
            case _Choice():
                return self._state(None, [self._compile(option, after) for option in part.options])
            case _Repeat():
                return self._compile_repeat(part, after)

    def _compile_repeat(self, repeat: _Repeat, after: int) -> int:
        if repeat.most is None:
            state = self._state(None, [])
            self._next[state] = [self._compile(repeat.part, state), after]
        else:
            state = after
            for _ in range(repeat.most - repeat.least):
                state = self._state(None, [self._compile(repeat.part, state), after])
        for _ in range(repeat.least):
            state = self._compile(repeat.part, state)
        return state


class _Reader:
    """Recursive descent over the text of an expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Part:
        self._take("^")
        part = self._choice()
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._text[self._at]!r}")
        return part

    def _choice(self) -> _Part:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            if self._text[self._at :] == "$":
                self._at += 1
                break
            parts.append(self._repeated(self._atom()))
        return _Sequence(tuple(parts))

    def _atom(self) -> _Part:
        character = self._text[self._at]
        self._at += 1
        if character in "*+?{^$":
            raise self._error(f"{character!r} cannot stand here")
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == ".":
            return _Chars(frozenset(), negated=True)
        return self._escaped() if character == "\\" else _Chars(frozenset(character))

    def _group(self) -> _Part:
        if self._take("?") and not self._take(":"):
            raise self._error("of the groups that begin with `(?` there is `(?: )` alone")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("too many parentheses in one another")
        part = self._choice()
        if not self._take(")"):
            raise self._error("a parenthesis is not closed")
        self._depth -= 1
        return part

    def _repeated(self, part: _Part) -> _Part:
        if self._take("*"):
            part = _Repeat(part, 0, None)
        elif self._take("+"):
            part = _Repeat(part, 1, None)
        elif self._take("?"):
            part = _Repeat(part, 0, 1)
        elif self._take("{"):
            part = self._counted(part)
        return part

    def _counted(self, part: _Part) -> _Part:
        inside, closed, _ = self._text[self._at :].partition("}")
        least, comma, most = inside.partition(",")
        if not closed or not _number(least) or not (most == "" or _number(most)):
            raise self._error("a count is {3}, {3,} or {3,5}")
        self._at += len(inside) + 1
        high = int(least) if not comma else int(most) if most else None
        if max(int(least), high or 0) > MAX_STATES or (high is not None and high < int(least)):
            raise self._error(f"the count {{{inside}}} is too large or backwards")
        return _Repeat(part, int(least), high)

    def _escaped(self) -> _Chars:
        if self._at == len(self._text):
            raise self._error("a backslash is last")
        character = self._text[self._at]
        self._at += 1
        if character.lower() in _CLASSES:
            return _Chars(_CLASSES[character.lower()], negated=character.isupper())
        if character in _WORD:
            raise self._error(f"there is no \\{character}")
        return _Chars(frozenset(character))

    def _class(self) -> _Chars:
        negated, members, first = self._take("^"), set[str](), True
        while first or not self._take("]"):
            low, first = self._member(), False
            if len(low) == 1 and self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 :][:1] != "]":
                self._at += 1
                members.update(self._between(low, self._member()))
            else:
                members.update(low)
        return _Chars(frozenset(members), negated)

    def _member(self) -> frozenset[str]:
        if self._at >= len(self._text):
            raise self._error("a [ is not closed")
        character = self._text[self._at]
        self._at += 1
        if character != "\\":
            return frozenset(character)
        escaped = self._escaped()
        if escaped.negated:
            raise self._error("\\D, \\W and \\S cannot stand in [ ]")
        return escaped.members

    def _between(self, low: frozenset[str], high: frozenset[str]) -> set[str]:
        first, last = ord(min(low)), ord(min(high))
        if len(high) != 1 or last < first or last - first > 1024:
            raise self._error("a range in [ ] is backwards or too large")
        return {chr(code) for code in range(first, last + 1)}

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _error(self, why: str) -> RequestError:
        return RequestError(f"not a pattern we match: {self._text!r}: {why} (character {self._at})")


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6
