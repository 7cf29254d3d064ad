"""Ranges of nodes: `tests/noderange.txt` case by case; algebra and folding against Python's sets and ClusterShell."""

import re
import time
from pathlib import Path

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given
from hypothesis import strategies as st

from muster.model.errors import NotFoundError, RequestError
from muster.model.noderange import expand, fold, groups, select
from muster.model.ranges.grammar import parse, render
from muster.model.ranges.inline import inlined
from muster.model.ranges.pattern import Pattern
from tests.cluster import node, world_of

TABLE = Path(__file__).parent.parent / "noderange.txt"
CASE = re.compile(r"^(.*?) +(=>|!!) +(.*)$")

WORLD = world_of(
    *({"kind": "profile", "name": name} for name in ("compute", "idle", "n9", "default")),
    {"kind": "profile", "name": "gpu", "labels": {"rack": "r3", "os/name": "el 9"}},
    *(
        {"kind": "node", "name": f"n{i}", "profiles": ["compute"], "labels": {"rack": "r1" if i < 7 else "r2"}}
        for i in range(1, 13)
    ),
    node("g1", profiles=["compute", "gpu", "n9"]),
    *(node(f"g{i}", profiles=["compute", "gpu"]) for i in (2, 3)),
    node("g4", profiles=["compute", "gpu"], labels={"rack": "r4"}),
    node("login", labels={"role": "login,admin"}),
    *(node(name) for name in ("m01", "m02", "m03", "n1-n2", "compute2", "rack-1", "rack-2")),
    *(node(f"r{r}n{n}") for r in (1, 2) for n in (1, 2)),
)
STATES = {"n1": "ready", "n2": "ready", "n3": "ready", "n4": "ready", "n5": "booting", "n6": "failed"}
FILES = {
    "some": "n1\nn2\nn3\n",
    "minus": "n[1-5]\n-n2\n",
    "late": "-n2\nn1-n5",
    "each": "n1,n2\nn[1-3]!n2\n",
    "local": "n[1-9],-n3\nn3\n",
    "words": "n1 # first\n\n  @gpu\n",
    "bad": "n1\nn[2\n",
    "nested": "^some\n",
    "none": "# nobody\n",
    "my,file": "n7",
    "-": "n8\n",
}


def read(name: str) -> str:
    if name not in FILES:
        raise RequestError("cannot be read", where=name)
    return FILES[name]


def chosen(text: str) -> list[str]:
    return [n.name for n in select(WORLD, inlined(text, read), STATES, may_be_empty=True)]


def cases() -> list[tuple[str, str, str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    matches = [CASE.match(line) for line in lines]
    return [(m[1], m[2], m[3]) if m else (line, "", "") for m, line in zip(matches, lines, strict=True)]


@pytest.mark.parametrize(("text", "kind", "wanted"), cases())
def test_the_table(text: str, kind: str, wanted: str) -> None:
    if kind == "=>":
        assert (fold(chosen(text)) or "-") == wanted
    else:
        assert kind == "!!"
        with pytest.raises(RequestError) as caught:
            chosen(text)
        assert wanted in str(caught.value)


@pytest.mark.parametrize("text", [text for text, kind, _ in cases() if kind == "=>"])
def test_what_goes_over_the_wire_is_the_same_range(text: str) -> None:
    assert chosen(render(parse(text))) == chosen(text)


def test_the_order_is_the_one_written() -> None:
    assert chosen("n3,n[10,9],n1") == ["n3", "n9", "n10", "n1"]


def test_nobody_is_an_error_unless_it_may_be() -> None:
    with pytest.raises(RequestError, match="no node is in '@idle'"):
        select(WORLD, "@idle")
    assert select(WORLD, "@idle", may_be_empty=True) == []


def test_states_that_nobody_gave_are_not_taken_for_never() -> None:
    with pytest.raises(RequestError, match="states of nodes are not known here"):
        select(WORLD, "@state:never")


def test_files_are_not_read_by_the_controller() -> None:
    with pytest.raises(RequestError, match=r"^\^some: a file is read where the command is given"):
        select(WORLD, "^some")


def test_a_long_file_becomes_a_short_range() -> None:
    lines = "".join(f"n{i:05}\n" for i in range(1, 65001))
    assert inlined("^hosts", lambda _: lines) == "((n[00001-65000]))"


def test_groups_and_who_is_in_them() -> None:
    found = groups(WORLD, STATES)
    assert found["gpu"] == ["g1", "g2", "g3", "g4"]
    assert found["rack:r4"] == ["g4"]
    assert found["state:failed"] == ["n6"]
    assert found["default"] == found["all"]


@pytest.mark.parametrize("text", ["@all", "n[1-9]@gpu", "/n.*", "rack==r1"])
def test_names_alone_need_no_cluster_and_the_rest_is_refused_without_one(text: str) -> None:
    with pytest.raises(RequestError, match="only names"):
        expand(text)


def test_names_that_nobody_has() -> None:
    assert expand("n[08-10]!n09") == ["n08", "n10"]
    assert expand("n1-n3,-n2") == ["n1", "n3"]


@pytest.mark.tools
def test_hostile_texts_end_soon() -> None:
    started = time.monotonic()
    texts = ["(" * 100_000, "(" * 40 + "n1" + ")" * 40, "@all," * 300_000 + "@all", "n1+1" * 100_000, "-" * 1_000_000]
    patterns = ["(a|a)*b", "(a*)*b", "(.*.*.*.*.*.*.*.*)*x", "((((a{9}){9}){9}){9})", "a{500}{500}", "(a?){250}a{250}"]
    for text in [*texts, *(f"/{pattern}" for pattern in patterns), "/" + "(" * 250, "/" + "a" * 1000]:
        try:
            chosen(text)
        except RequestError:
            continue
    matches = Pattern("(a|a)*(a*)*b").matches
    assert not any(matches("a" * 60) for _ in range(10_000))
    assert time.monotonic() - started < 30  # 2 s; what backtracks would take years


def test_all_unknown_names_are_named_once() -> None:
    with pytest.raises(NotFoundError, match=r"^no such node: x\[1-3\]"):
        select(WORLD, "x[1-2],x[2-3]")


NAMES = st.from_regex(r"[a-c]{1,2}[0-9]{0,3}([a-b-][0-9]{1,2})?[a-b]?", fullmatch=True).filter(lambda n: n[-1] != "-")


@given(st.lists(NAMES, max_size=40))
def test_folding_names_loses_and_adds_none(names: list[str]) -> None:
    assert sorted(expand(fold(names))) == sorted(set(names)) if names else fold(names) == ""


@given(st.sets(st.from_regex(r"0{0,2}[0-9]{1,3}", fullmatch=True), min_size=1))
def test_one_number_folds_as_clustershell_folds_it(numbers: set[str]) -> None:
    names = [f"n{number}" for number in numbers]
    assert fold(names) == str(NodeSet.fromlist(names, resolver=RESOLVER_NOGROUP))


@given(st.lists(st.integers(0, 30), min_size=1))
def test_clustershell_reads_what_we_fold_and_we_what_it_folds(numbers: list[int]) -> None:
    names = {f"r{number % 3}n{number:02}" for number in numbers}
    assert set(NodeSet(fold(names), resolver=RESOLVER_NOGROUP)) == names
    assert set(expand(str(NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)))) == names


SETS = st.sets(st.integers(1, 12), min_size=1)
OPERATORS = {",": set.union, "!": set.difference, "&": set.intersection, "^": set.symmetric_difference}


@given(st.lists(st.tuples(st.sampled_from(",!&^"), SETS, st.booleans()), min_size=1), st.booleans())
def test_algebra(steps: list[tuple[str, set[int], bool]], nested: bool) -> None:
    text, wanted, excluded = "", set[int](), set[int]()
    for operator, numbers, exclude in steps:
        word = f"n[{','.join(map(str, numbers))}]"
        text += f"{operator if text else ''}{'-' * exclude}{word}"
        if exclude:
            excluded |= numbers
        else:
            wanted = OPERATORS[operator](wanted, numbers) if text != word else set(numbers)
    wanted -= excluded
    text = f"({text}),n1" if nested else text
    assert set(expand(text)) == {f"n{number}" for number in (wanted | {1} if nested else wanted)}


PARTS = st.recursive(
    st.sampled_from(["a", "b", "ab", ".", "[ab]", "[^a]", r"\d", "[0-2]", r"\.", "1"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])).map(lambda p: f"({p[0]}){p[1]}"),
        st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=6,
)


@given(PARTS, st.text("ab1.", max_size=6))
def test_patterns_match_what_python_matches(pattern: str, text: str) -> None:
    assert Pattern(pattern).matches(text) == (re.fullmatch(pattern, text) is not None)
