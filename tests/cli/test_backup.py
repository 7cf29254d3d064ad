"""`muster backup` of a controller that runs, `muster restore` on one that does not."""

import shutil
from pathlib import Path

import pytest

from muster import settings
from muster.controller.context import Context
from muster.host.files import locked
from muster.host.paths import Paths
from muster.model.objects import Node
from muster.services.supervise import LOCK
from muster.store.database import Store
from tests.cli.conftest import Muster, Said
from tests.closed import needs_open_clone
from tests.cluster import FakeClock

pytestmark = pytest.mark.root


@pytest.fixture
def state(tmp_path: Path, serving: Context) -> Paths:
    """The served store as `muster` finds it, and the other files of a controller."""
    paths = Paths(tmp_path)
    paths.state.parent.mkdir(parents=True)
    paths.state.symlink_to(tmp_path / "controller")
    paths.etc.mkdir(parents=True)
    paths.secrets.mkdir()
    (paths.secrets / "token-key").write_bytes(b"k" * 32)
    (paths.state / "site").write_text(serving.site)
    settings.write_default(paths.config, settings.Settings(("10.77.0.1:9898",), user="65534"))
    return paths


@needs_open_clone
@pytest.mark.usefixtures("state")
def test_saved_while_it_runs_and_restored_where_it_does_not(tmp_path: Path, muster: Muster) -> None:
    said = muster("backup", "--secrets", str(tmp_path / "saved"))
    assert said.status == 0, said.err
    assert "muster image export debian@" in said.err and "can act as this controller" in said.err
    new = Paths(tmp_path / "new")
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)

    def restore(*words: str) -> Said:
        return muster("--prefix", str(new.prefix), "restore", *words, str(tmp_path / "saved"))

    new.run.mkdir(parents=True)
    with locked(new.run / LOCK):
        said = restore()
        assert said.status == 2 and "a running controller (process id" in said.err
    said = restore()
    assert said.status == 0, said.err
    assert "muster image import" in said.err and "new key" not in said.err
    assert new.store.stat().st_uid == (new.secrets / "token-key").stat().st_uid == 65534
    store = Store(new.store, FakeClock())
    assert store.world.get(Node, "n1").profiles == ("compute",)
    store.close()
    said = restore()
    assert (said.status, "is there already" in said.err, "--force" in said.err) == (2, True, True)
    assert restore("--force").status == 0
    shutil.rmtree(new.secrets)
    assert muster("backup", str(tmp_path / "saved")).status == 0
    assert "a new key of node tokens was drawn" in restore("--force").err
