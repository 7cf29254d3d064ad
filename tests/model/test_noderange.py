"""Ranges of nodes: what they name, and that a slip of the finger is no disaster."""

import pytest

from muster.model.errors import NotFoundError, RequestError
from muster.model.noderange import expand, fold, select
from tests.cluster import node, world_of

WORLD = world_of(
    {"kind": "profile", "name": "gpu"},
    *(node(f"c{i}", labels={"rack": "r1" if i < 3 else "r2"}) for i in range(1, 5)),
    node("g1", profiles=["gpu"]),
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("c1", ["c1"]),
        ("c[1-3]", ["c1", "c2", "c3"]),
        ("c[1,3-4],g1", ["c1", "c3", "c4", "g1"]),
        ("@gpu", ["g1"]),
        ("@rack:r2", ["c3", "c4"]),
        ("@all", ["c1", "c2", "c3", "c4", "g1"]),
        ("c1,c1,@gpu,g1", ["c1", "g1"]),
    ],
)
def test_select(text: str, names: list[str]) -> None:
    assert [n.name for n in select(WORLD, text)] == names


def test_all_unknown_names_are_named() -> None:
    with pytest.raises(NotFoundError, match=r"x\[1-2\]"):
        select(WORLD, "c1,x[1-2]")


@pytest.mark.parametrize("text", ["", ",", "c1,,c2", "c[1-3", "c1]", "@nobody", "@rack:r9", "c[1-", "c[3-1]"])
def test_not_a_range_of_nodes(text: str) -> None:
    with pytest.raises(RequestError):
        select(WORLD, text)


@pytest.mark.parametrize("text", ["n[1-99999999999]", "n[1-1000]m[1-1000]", "a[1-150000],b[1-150000]"])
def test_a_huge_range_is_refused_before_it_is_made(text: str) -> None:
    with pytest.raises(RequestError, match="more than"):
        expand(text)


def test_padding_is_kept() -> None:
    assert expand("n[08-10]") == ["n08", "n09", "n10"]
    assert fold(["n08", "n09", "n10", "x"]) in ("n[08-10],x", "x,n[08-10]")


def test_groups_of_this_machine_are_none_of_ours() -> None:
    assert expand("@all") == ["@all"]
