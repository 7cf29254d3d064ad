"""What the app builds for the nodes at its start: once, and again when the programs behind it changed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from muster import daemon
from muster.daemon import Daemon
from muster.host.clock import SystemClock
from muster.host.paths import Paths
from muster.images import initramfs, kits
from muster.model.kits import KITS
from muster.services.nfs import Service
from muster.settings import Settings, write_default
from muster.store.blobs import Blobs

pytestmark = pytest.mark.tools


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Daemon]]:
    """Puts the app of one prefix together; one at a time."""
    paths = Paths(tmp_path)
    for folder in (paths.etc, paths.run, paths.blobs, paths.secrets, paths.dnsmasq):
        folder.mkdir(parents=True)
    (paths.secrets / "token-key").write_bytes(os.urandom(32))
    write_default(paths.config, Settings(("10.77.0.1:9898",)))
    monkeypatch.setattr(initramfs, "node_segment", _written)
    running: list[Daemon] = []

    def again() -> Daemon:
        _close(running)
        running[:] = [daemon.build(paths, SystemClock(), lambda _command: None, Service())]
        return running[0]

    yield again
    _close(running)


def _close(running: list[Daemon]) -> None:
    for each in running:
        each.context.overlays.close()
        each.context.boots.close()
        each.context.store.close()


def _written(path: Path, **_: object) -> Path:
    path.write_bytes(b"node segment")
    return path


def test_kits_are_built_once(start: Callable[[], Daemon], monkeypatch: pytest.MonkeyPatch) -> None:
    first = start()
    assert first.context.kits.keys() == KITS.keys()
    for blob in first.context.kits.values():
        first.context.blobs.verify(blob)
    monkeypatch.setattr(kits, "make", lambda *_: pytest.fail("nothing changed"))
    assert start().context.kits == first.context.kits


def test_another_program_makes_another_kit(
    start: Callable[[], Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start().context.kits
    (tmp_path / "bin").mkdir()
    shutil.copy(shutil.which("setfacl") or "", tmp_path / "bin/setfacl")
    with (tmp_path / "bin/setfacl").open("ab") as program:
        program.write(b"upgraded")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    after = start().context.kits
    assert {name for name in KITS if before[name] != after[name]} == {"acl"}


def test_what_is_remembered_must_be_there(start: Callable[[], Daemon], tmp_path: Path) -> None:
    app = start()
    for blob in app.context.kits.values():
        Blobs(Paths(tmp_path).blobs).remove(blob.sha256)
    (Paths(tmp_path).state / "kit-disk.json").write_text("not JSON")
    again = start()
    assert again.context.kits == app.context.kits
    for blob in again.context.kits.values():
        again.context.blobs.verify(blob)
    assert json.loads((Paths(tmp_path).state / "kit-disk.json").read_text())["size"] == again.context.kits["disk"].size


def test_without_a_program_its_kit_is_absent_and_the_app_starts(
    start: Callable[[], Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("busybox", "ldd", "setfacl", "unsquashfs", "getfattr", "setfattr", "mkfs.ext4", "bash"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or "")
    monkeypatch.setattr(kits, "SYSTEM_FOLDERS", "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert start().context.kits.keys() == {"unpack", "acl"}
    assert "dmsetup is missing (apt-get install dmsetup)" in caplog.text
