"""Node ranges: `n[01-16,20]`, `n1,n2`, `@all`, `@PROFILE`, `@key:value`; ClusterShell does ranges and folding."""

import re
from collections.abc import Iterable, Sequence

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from muster.model.cascade import effective
from muster.model.errors import NotFoundError, RequestError
from muster.model.objects import Node
from muster.model.world import World

_TERM = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_MAX_NAMES = 200_000


def expand(text: str) -> list[str]:
    """The names that a range without groups stands for, in its order. Raises RequestError."""
    _refuse_huge(text)
    try:
        found = NodeSet(text, resolver=RESOLVER_NOGROUP)
    except NodeSetException as error:
        raise RequestError(f"not a node range: {text!r}: {error}") from error
    if not found:
        raise RequestError("a node range is empty")
    return [str(name) for name in found]


def _refuse_huge(text: str) -> None:
    """ClusterShell makes every name before it can be asked how many they are."""
    names = 0
    for term in _TERM.findall(text):
        count = 1
        for inside in re.findall(r"\[([^\]]*)\]", term):
            spans = (int(last) - int(first) for first, last in _RANGE.findall(inside))
            count *= inside.count(",") + 1 + sum(span for span in spans if span > 0)
        names += count
    if names > _MAX_NAMES:
        raise RequestError(f"{text!r} has {names} names, more than {_MAX_NAMES}")


def fold(names: Iterable[str]) -> str:
    """Names as one short range."""
    return str(NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP))


def select(world: World, text: str) -> list[Node]:
    """The stored nodes of a range. NotFoundError names every one that does not exist."""
    chosen: dict[str, Node] = {}
    unknown: list[str] = []
    terms = _TERM.findall(text)
    if ",".join(terms) != text:
        raise RequestError(f"not a node range: {text!r}", hint="n1,n[3-5],@all,@PROFILE,@LABEL:VALUE")
    for term in terms:
        for name in _group(world, term[1:]) if term.startswith("@") else expand(term):
            node = world.find(Node, name)
            if node is None:
                unknown.append(name)
            else:
                chosen[name] = node
    if unknown:
        raise NotFoundError(f"no such node: {fold(unknown)}", hint="muster node list")
    if not chosen:
        raise RequestError(f"no node is in {text!r}")
    return list(chosen.values())


def _group(world: World, group: str) -> Sequence[str]:
    if group == "all":
        return [node.name for node in world.all(Node)]
    key, colon, value = group.partition(":")
    if colon:
        nodes = world.all(Node)
        return [n.name for n in nodes if (effective(world, n).settings.labels or {}).get(key) == value]
    return [node.name for node in world.all(Node) if group in node.profiles]
