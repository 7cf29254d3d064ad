"""The lab's folder: one holder, a killed lab's remains are cleaned, nothing else is ever touched."""

import os
from pathlib import Path

import pytest

from muster.lab import folder
from muster.model.errors import ConflictError, RequestError


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "lab"
    lock = folder.claim(place)
    assert folder.held(place)
    with pytest.raises(ConflictError, match="a lab runs here"):
        folder.claim(place)
    with pytest.raises(ConflictError):
        folder.remove(place)
    os.close(lock)
    assert not folder.held(place)


def test_remains_of_a_killed_lab_are_cleaned(tmp_path: Path) -> None:
    place = tmp_path / "lab"
    os.close(folder.claim(place))
    (place / "nodes").mkdir()
    (place / "nodes/console.log").write_text("old")
    (place / "gone").symlink_to("/etc")
    os.close(folder.claim(place))
    assert [entry.name for entry in place.iterdir()] == ["lock"]


def test_remove_leaves_nothing_and_is_idempotent(tmp_path: Path) -> None:
    place = tmp_path / "lab"
    os.close(folder.claim(place))
    folder.remove(place)
    folder.remove(place)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for attempt in (folder.claim, folder.remove):
        with pytest.raises(RequestError, match="not a lab"):
            attempt(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
