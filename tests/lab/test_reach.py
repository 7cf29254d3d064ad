"""A lab whose program lies where only root can read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.host import process
from muster.lab import reach


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may pass, which pytest's own are not."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_open_folders_need_nothing() -> None:
    assert reach.closed_above([Path("/usr/bin")]) == {}


def test_the_topmost_closed_folder_is_covered_once(place: Path) -> None:
    closed = place / "closed"
    (closed / "inner/program").mkdir(parents=True)
    (closed / "environment").mkdir()
    closed.chmod(0o700)
    wanted = [closed / "inner/program", closed / "environment"]
    assert reach.closed_above(wanted) == {closed: tuple(wanted)}


@pytest.mark.root
def test_another_user_can_read_the_program_and_nothing_else(place: Path) -> None:
    closed = place / "closed"
    (closed / "program").mkdir(parents=True)
    (closed / "program/hello").write_text("hello")
    (closed / "private").write_text("private")
    closed.chmod(0o700)
    bench = place / "bench"
    bench.mkdir()
    steps = " && ".join(" ".join(c) for c in reach.commands(reach.closed_above([closed / "program"]), bench))
    ask = f"setpriv --reuid 64999 --clear-groups sh -c 'cat {closed}/program/hello; ls {closed}'"
    done = process.run(["unshare", "--mount", "sh", "-c", f"{steps} && {ask}"])
    assert done.text.split() == ["helloprogram"]
    assert (closed / "private").read_text() == "private"
