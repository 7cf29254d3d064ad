"""What a range is among given names, groups and labels."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from muster.model.errors import NotFoundError, RequestError
from muster.model.ranges import grammar
from muster.model.ranges.grammar import File, Group, Meet, Range, Reference, Regex, Term, Test, Word
from muster.model.ranges.names import fold, names_of, refuse_more_than

MAX_WORK = 5_000_000
"""The most names that the groups, patterns and labels of one range may go through."""


class Cluster(Protocol):
    """The nodes that a range is about."""

    def names(self) -> Collection[str]:
        """Every node, in the order in which groups give them."""

    def group(self, key: str, value: str) -> Collection[str] | None:
        """The nodes of `@value` (key empty) or `@key:value`; None when there is no such group."""

    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Each node's labels."""


def expand(text: str) -> list[str]:
    """The names that a range of names alone stands for, whether such nodes exist or not, in the order written."""
    tree = grammar.parse(text)
    if grammar.asks_cluster(tree):
        raise RequestError(f"only names can be given here, no groups, patterns or labels: {text!r}")
    return _Evaluation(None).whole(tree)


def evaluate(tree: Range, cluster: Cluster) -> list[str]:
    """The nodes of a range, in the order written. NotFoundError names every node and group that does not exist."""
    return _Evaluation(cluster).whole(tree)


class _Evaluation:
    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster
        self._known: Collection[str] = cluster.names() if cluster is not None else ()
        self._unknown: dict[str, None] = {}
        self._no_groups: dict[str, None] = {}
        self._written = 0
        self._work = 0

    def whole(self, tree: Range) -> list[str]:
        found = self._range(tree)
        if self._unknown or self._no_groups:
            raise NotFoundError(self._missing(), hint="muster node list; muster noderange groups")
        return list(found)

    def _missing(self) -> str:
        nodes = [f"no such node: {fold(self._unknown)}"] if self._unknown else []
        groups = [f"no such group: {', '.join(self._no_groups)}"] if self._no_groups else []
        return "; ".join(nodes + groups)

    def _range(self, tree: Range) -> dict[str, None]:
        found: dict[str, None] = {}
        excluded: set[str] = set()
        for step in tree.steps:
            names = self._term(step.term)
            if step.exclude:
                excluded.update(names)
            else:
                found = _OPERATIONS[step.operator](found, names)
        if excluded:
            found = {name: None for name in found if name not in excluded}
        return found

    def _term(self, term: Term) -> Collection[str]:
        match term:
            case Word(text):
                return self._word(text)
            case Range():
                return self._range(term)
            case Group():
                return self._group(term)
            case Meet(left, right):
                both = set(self._term(right))
                return [name for name in self._term(left) if name in both]
            case Reference(text):
                return self._reference(text)
            case Regex(pattern):
                return self._matching(pattern)
            case Test():
                return self._test(term)
            case File(name):
                raise RequestError(f"^{name}: a file is read where the command is given, not by the controller")

    def _word(self, text: str) -> list[str]:
        names = names_of(text, self._known)
        self._written += len(names)
        refuse_more_than(self._written, text)
        if self._cluster is not None:
            self._unknown.update((name, None) for name in names if name not in self._known)
        return names

    def _group(self, wanted: Group) -> Collection[str]:
        if (found := self._find(wanted)) is None:
            self._no_groups[f"@{wanted.key}{':' if wanted.key else ''}{wanted.value}"] = None
            return ()
        return found

    def _reference(self, text: str) -> Collection[str]:
        if text in self._known:
            return [text]
        found = self._find(grammar.group(text))
        return self._word(text) if found is None else found

    def _find(self, wanted: Group) -> Collection[str] | None:
        """None when it, or one of several in brackets, is no group."""
        assert self._cluster is not None
        several = "[" in wanted.value and not wanted.quoted
        found: dict[str, None] = {}
        for value in names_of(wanted.value) if several else [wanted.value]:
            members = self._cluster.group(wanted.key, value)
            if members is None:
                return None
            self._count(len(members))
            found.update(dict.fromkeys(members))
        return found

    def _matching(self, pattern: str) -> list[str]:
        from muster.model.ranges.pattern import Pattern

        self._count(len(self._known))
        matches = Pattern(pattern).matches
        return [name for name in self._known if matches(name)]

    def _test(self, test: Test) -> list[str]:
        """A node without the label has no value that could be equal or match."""
        assert self._cluster is not None
        self._count(len(self._known))
        holds, labels = _holds(test), self._cluster.labels()
        wanted = not test.operator.startswith("!")
        nodes = ((name, labels[name].get(test.label)) for name in self._known)
        return [name for name, value in nodes if (value is not None and holds(value)) == wanted]

    def _count(self, names: int) -> None:
        self._work += names + 1
        if self._work > MAX_WORK:
            raise RequestError(f"the range goes through more than {MAX_WORK} names")


def _holds(test: Test) -> Callable[[str], bool]:
    if test.operator.endswith("~"):
        from muster.model.ranges.pattern import Pattern

        return Pattern(test.value).matches
    return test.value.__eq__


def _union(found: dict[str, None], names: Iterable[str]) -> dict[str, None]:
    found.update(dict.fromkeys(names))
    return found


def _difference(found: dict[str, None], names: Iterable[str]) -> dict[str, None]:
    for name in names:
        found.pop(name, None)
    return found


def _intersection(found: dict[str, None], names: Iterable[str]) -> dict[str, None]:
    both = set(names)
    return {name: None for name in found if name in both}


def _symmetric_difference(found: dict[str, None], names: Iterable[str]) -> dict[str, None]:
    for name in dict.fromkeys(names):
        if name in found:
            del found[name]
        else:
            found[name] = None
    return found


_OPERATIONS = {",": _union, "!": _difference, "&": _intersection, "^": _symmetric_difference}
