"""Blobs are whole or absent, and lie under their own hash."""

import hashlib
import os
from pathlib import Path

import pytest

from muster.model.errors import NotFoundError, RequestError, StoreError
from muster.store.blobs import Blobs

DATA = b"some bytes" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def test_bytes_and_files_of_the_same_content_are_one_blob(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    first, second = blobs.put_bytes(DATA), blobs.put_file(tmp_path / "file")
    assert first == second
    assert (first.sha256, first.size) == (SHA256, len(DATA))
    assert blobs.path(SHA256).read_bytes() == DATA
    assert blobs.path(SHA256).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in blobs.folder.iterdir()] == [SHA256]
    assert (tmp_path / "file").exists()


def test_a_moved_file_becomes_the_blob(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "file").chmod(0o600)
    inode = (tmp_path / "file").stat().st_ino
    blob = blobs.put_file(tmp_path / "file", move=True)
    assert not (tmp_path / "file").exists()
    assert blobs.path(blob.sha256).stat().st_ino == inode
    assert blobs.path(blob.sha256).stat().st_mode & 0o777 == 0o644


def test_moving_what_is_there_already_leaves_the_old_and_removes_the_file(blobs: Blobs, tmp_path: Path) -> None:
    inode = blobs.path(blobs.put_bytes(DATA).sha256).stat().st_ino
    (tmp_path / "file").write_bytes(DATA)
    blobs.put_file(tmp_path / "file", move=True)
    assert not (tmp_path / "file").exists()
    assert blobs.path(SHA256).stat().st_ino == inode


def test_a_cut_blob_is_mended_by_storing_it_again(blobs: Blobs) -> None:
    blob = blobs.put_bytes(DATA)
    os.truncate(blobs.path(SHA256), 10)
    with pytest.raises(StoreError, match="10 bytes, not 10000"):
        blobs.verify(blob)
    blobs.put_bytes(DATA)
    blobs.verify(blob)


def test_a_flipped_bit_and_an_absent_blob_each_have_their_error(blobs: Blobs) -> None:
    blob = blobs.put_bytes(DATA)
    blobs.path(SHA256).write_bytes(b"S" + DATA[1:])
    with pytest.raises(StoreError, match="hash to"):
        blobs.verify(blob)
    blobs.path(SHA256).unlink()
    assert not blobs.has(SHA256)
    with pytest.raises(NotFoundError, match=SHA256):
        blobs.verify(blob)


@pytest.mark.parametrize("name", ["", "../x", SHA256.upper(), SHA256[:-1], f"{SHA256}\n", f"../{SHA256}"])
def test_only_a_hash_is_a_name(blobs: Blobs, name: str) -> None:
    with pytest.raises(RequestError):
        blobs.path(name)


def test_a_failed_write_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        blobs.put_file(tmp_path)
    assert not blobs.folder.exists() or not list(blobs.folder.iterdir())


@pytest.mark.root
def test_root_never_gives_away_what_a_symlink_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The services' user owns the parent, and may swap the new folder before root changes its owner."""
    victim, parent = tmp_path / "victim", tmp_path / "blobs"
    victim.mkdir()
    parent.mkdir()
    os.chown(parent, 4711, 4711)
    real = Path.mkdir

    def swapped(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        real(path, mode, parents, exist_ok)
        if path.name == "sha256":
            path.rmdir()
            path.symlink_to(victim)

    monkeypatch.setattr(Path, "mkdir", swapped)
    Blobs(parent).put_bytes(DATA)
    assert victim.stat().st_uid == 0
