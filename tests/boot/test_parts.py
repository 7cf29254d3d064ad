"""Every line of every plan has its part in what a reboot would change, or is known to have none."""

from pathlib import Path

import pytest

from muster.boot.parts import _PARTS, NO_PART, lines_of, parts

GOLDEN = Path(__file__).parent / "golden"
PLANS = sorted(path.read_text() for path in GOLDEN.glob("*/plan"))


def test_every_line_is_known() -> None:
    told = {key for text in PLANS for key, _ in lines_of(text)}
    assert len(told) > 30 and told <= {*_PARTS, *NO_PART}
    assert not set(_PARTS) & set(NO_PART)


@pytest.mark.parametrize("key", sorted(_PARTS))
def test_a_line_changes_its_own_part_only(key: str) -> None:
    text = next(text for text in PLANS if f"\n{key}\t" in text)
    before, changed = parts(lines_of(text)), parts([(k, v + "x" * (k == key)) for k, v in lines_of(text)])
    assert {part for part in before if before[part] != changed[part]} == {_PARTS[key]}


def test_another_server_or_name_of_the_same_bytes_changes_nothing() -> None:
    text = next(text for text in PLANS if "\nroot.url\t" in text)
    moved = text.replace("10.77.0.1", "10.99.0.1").replace("image\tdebian@", "image\tother@")
    assert parts(lines_of(moved)) == parts(lines_of(text)) and moved != text


def test_a_live_tree_goes_by_its_name() -> None:
    assert parts([("image", "a@live")]) != parts([("image", "b@live")])
    assert parts([("image", "a@0123456789ab")]) == parts([("image", "b@0123456789ab")]) == {}
