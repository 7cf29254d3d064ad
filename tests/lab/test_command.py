"""`muster lab` as a person meets it: exit status and words."""

import sys
from pathlib import Path

import pytest

from muster.host import process


def muster(*words: str) -> tuple[int, str]:
    done = process.run([sys.executable, "-m", "muster.cli.main", "lab", *words], check=False, timeout=20)
    return done.status, done.text + done.stderr.decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up", "--firmware", "coreboot"), "neither bios nor uefi"),
        (("up", "--memory", "lots"), "--memory lots"),
        (("up", "--disk", "2"), "--disk 2: a number with m, g or t"),
        (("up", "--disk", "0g"), "--disk 0m"),
        (("controller", "explode"), "explode"),
        (("up", "--name", "../etc"), "not a lab name"),
        (("power", "n1", "explode"), "explode"),
    ],
)
def test_a_wrong_request_is_2_and_says_what(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    status, text = muster(*words, "--dir", str(tmp_path / "lab"))
    assert (status, said in text) == (2, True), text
    assert not (tmp_path / "lab").exists()


def test_no_lab(tmp_path: Path) -> None:
    place = str(tmp_path / "lab")
    assert muster("down", "--dir", place) == (0, "no lab default\n")
    status, text = muster("status", "--dir", place)
    assert status == 2
    assert "no lab here" in text


def test_only_the_asked_verb_is_loaded() -> None:
    program = "import sys; import muster.cli.lab; print([m for m in sys.modules if m.startswith('muster.lab')])"
    assert process.run([sys.executable, "-c", program]).text == "[]\n"
