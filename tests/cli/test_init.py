"""`muster init` below a prefix: what it makes, that it may run again, and that it says what is wrong."""

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from muster import settings
from muster.cli.init import init
from muster.host.paths import Paths
from muster.model.errors import RequestError

pytestmark = pytest.mark.root

USER = 4711


@pytest.fixture
def paths() -> Iterator[Paths]:
    with tempfile.TemporaryDirectory(prefix="muster-init-") as folder:
        Path(folder).chmod(0o755)
        yield Paths(Path(folder))


def run(paths: Paths, *options: str) -> str:
    result = CliRunner().invoke(init, ["--prefix", str(paths.prefix), *options], catch_exceptions=True)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_made_once_and_kept(paths):
    output = run(paths, "--listen", "10.77.0.1:9898", "--user", str(USER))
    key = paths.secrets / "token-key"
    first = key.read_bytes()
    assert len(first) == 32
    assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (USER, 0o600)
    assert stat.S_IMODE(paths.secrets.stat().st_mode) == 0o700
    assert settings.read(paths.config).listen == ("10.77.0.1:9898",)
    assert "made" in output and f"muster serve --prefix {paths.prefix}" in output
    again = run(paths)
    assert "made" not in again
    assert key.read_bytes() == first


def test_it_does_not_contradict_the_file(paths):
    run(paths, "--listen", "10.77.0.1:9898", "--user", str(USER))
    with pytest.raises(RequestError, match="already"):
        run(paths, "--listen", "10.77.0.2:9898")


@pytest.mark.parametrize(
    "options", [[], ["--listen", "head:9898"], ["--listen", "10.77.0.1:9898", "--user", "no-such"]]
)
def test_a_wrong_request_changes_nothing(paths, options):
    with pytest.raises(RequestError):
        run(paths, *options)
    assert not any(paths.prefix.iterdir())


def test_a_prefix_that_the_user_cannot_reach(paths):
    closed = paths.prefix / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(RequestError, match=f"(?s){closed}.*user id {USER} cannot pass"):
        run(Paths(closed), "--listen", "10.77.0.1:9898", "--user", str(USER))
