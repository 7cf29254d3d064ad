"""What a change is said to do: fields, entries of lists, parts of maps and of interfaces; equal changes once."""

import pytest

from muster.model.difference import FieldDifference, differences, plain
from muster.model.documents import parse
from muster.model.world import Change


def change(before: dict[str, object] | None, after: dict[str, object] | None, name: str = "n1") -> Change:
    made = [None if d is None else parse({"kind": "node", "name": name, **d}) for d in (before, after)]
    return Change("node", name, *made)


def interface(name: str, **more: object) -> dict[str, object]:
    return {"name": name, **more}


CASES = [
    ({"image": "a"}, {"image": "b:v2"}, [FieldDifference("image", "a", "b:v2")]),
    ({"image": "a"}, {}, [FieldDifference("image", before="a")]),
    ({}, {"domain": "x"}, [FieldDifference("domain", after="x")]),
    (
        {"profiles": ["a", "b", "c"]},
        {"profiles": ["b", "d", "c"]},
        [FieldDifference("profiles", removed=("a",), added=("d",))],
    ),
    ({"profiles": ["a", "b"]}, {"profiles": ["b", "a"]}, [FieldDifference("profiles", removed=("b",), added=("b",))]),
    ({"labels": {"x": "1", "y": "2"}}, {"labels": {"y": "3"}}, None),
    (
        {"interfaces": [interface("eth0", dhcp=True)]},
        {"interfaces": [interface("eth0", dhcp=False), interface("eth1", mtu=9000)]},
        [
            FieldDifference("interfaces", added=("eth1",)),
            FieldDifference("interfaces.eth0.dhcp", "true", "false"),
            FieldDifference("interfaces.eth1.mtu", after="9000"),
        ],
    ),
    (
        {"interfaces": [interface("eth0"), interface("eth1")]},
        {"interfaces": [interface("eth1"), interface("eth0")]},
        [FieldDifference("interfaces", removed=("eth1",), added=("eth1",))],
    ),
    (
        {"power": {"password": {"secret": "a"}}},
        {"power": {"password": {"secret": "b"}}},
        [FieldDifference("power.password.secret", "a", "b")],
    ),
]


@pytest.mark.parametrize(("before", "after", "fields"), CASES)
def test_fields(before: dict[str, object], after: dict[str, object], fields: list[FieldDifference] | None) -> None:
    (found,) = differences([change(before, after)])
    wanted = fields or [FieldDifference("labels.y", "2", "3"), FieldDifference("labels.x", before="1")]
    assert found.verb == "change" and list(found.fields) == wanted


def test_equal_changes_are_told_once_with_their_range() -> None:
    same = [change({"image": "a"}, {"image": "b"}, f"n{i}") for i in range(1, 100)]
    other = change({"image": "c"}, {"image": "b"}, "n100")
    found = differences([other, *same, change({"image": "a"}, None, "gone")])
    assert [(d.verb, d.range, len(d.names)) for d in found] == [
        ("delete", "gone", 1),
        ("change", "n[1-99]", 99),
        ("change", "n100", 1),
    ]
    assert found[0].fields == ()


def test_for_programs_only_what_is_there_is_said() -> None:
    (found,) = plain(differences([change(None, {"profiles": ["a"], "image": "x"})]))
    assert found["fields"] == [{"key": "image", "after": "x"}, {"key": "profiles", "added": ("a",)}]
