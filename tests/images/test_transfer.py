"""A version carried as a folder: everything arrives, every change on the way is refused."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.images import transfer
from muster.model.errors import ConflictError, MusterError
from muster.model.objects import Blob, Version
from muster.store.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def version(blobs: Blobs) -> Version:
    parts = {name: blobs.put_bytes(name.encode() * 5000) for name in ("kernel", "modules", "root", "packages")}
    table = {"data_blocks": 4, "hash_start_block": 5, "root_hash": "1" * 64, "salt": "22", "data_size": 16384}
    content = {"image": "x", "distribution": "debian 12", "architecture": "x86_64", "kernel_release": "6.1"}
    blank = Version.model_validate(
        {**content, **parts, "verity": table, "features": {}, "name": f"x@{'0' * 12}", "digest": "0" * 64}
    )
    return named(blank)


def named(blank: Version) -> Version:
    digest = transfer.digest(blank.manifest())
    return blank.model_copy(update={"name": f"x@{digest[:12]}", "digest": digest})


@pytest.fixture
def folder(blobs: Blobs, version: Version, tmp_path: Path) -> Path:
    transfer.export_version(blobs, version, tmp_path / "carried")
    return tmp_path / "carried"


@pytest.mark.parametrize("link", [False, True])
def test_round_trip(blobs: Blobs, version: Version, tmp_path: Path, link: bool) -> None:
    transfer.export_version(blobs, version, tmp_path / "f", link=link)
    other = Blobs(tmp_path / "other")
    assert transfer.import_version(tmp_path / "f", other, link=link) == version
    for blob in version.blobs:
        other.verify(blob)
    assert {path.name for path in (tmp_path / "f/blobs/sha256").iterdir()} == {blob.sha256 for blob in version.blobs}


def test_modules_and_acls_of_some_modes_are_carried_too(blobs: Blobs, version: Version, tmp_path: Path) -> None:
    more = {"extra": blobs.put_bytes(b"modules"), "acls": blobs.put_bytes(b"acls")}
    whole = named(version.model_copy(update=more))
    assert whole.digest != version.digest
    transfer.export_version(blobs, whole, tmp_path / "f")
    other = Blobs(tmp_path / "other")
    assert transfer.import_version(tmp_path / "f", other) == whole
    for blob in more.values():
        other.verify(blob)


def test_a_version_of_an_older_release_keeps_its_digest(folder: Path, version: Version) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    assert "extra" not in document and "acls" not in document
    content = {key: value for key, value in document.items() if key not in ("kind", "name", "digest")}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(canonical).hexdigest() == version.digest


def test_an_exported_folder_is_a_copy_that_cannot_change_the_store(
    folder: Path, blobs: Blobs, version: Version
) -> None:
    for file in (folder / "blobs/sha256").iterdir():
        file.write_bytes(b"changed")
    blobs.verify(version.root)


def test_an_existing_folder_is_not_overwritten(folder: Path, blobs: Blobs, version: Version) -> None:
    with pytest.raises(ConflictError, match="exists already"):
        transfer.export_version(blobs, version, folder)


def test_a_damaged_store_exports_nothing(blobs: Blobs, version: Version, tmp_path: Path) -> None:
    blobs.path(version.root.sha256).write_bytes(b"x")
    with pytest.raises(MusterError):
        transfer.export_version(blobs, version, tmp_path / "f")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def manifest(folder: Path, **changes: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def root_blob(folder: Path) -> Path:
    return folder / "blobs/sha256" / json.loads((folder / "manifest.json").read_text())["root"]["sha256"]


def flip(folder: Path) -> None:
    file = root_blob(folder)
    file.write_bytes(b"R" + file.read_bytes()[1:])


def by_link(folder: Path) -> None:
    file = root_blob(folder)
    file.rename(folder.parent / "elsewhere")
    file.symlink_to(folder.parent / "elsewhere")


def linked_folder(folder: Path) -> None:
    (folder / "blobs/sha256").rename(folder.parent / "names")
    (folder / "blobs/sha256").symlink_to(folder.parent / "names")


def fifo(folder: Path) -> None:
    root_blob(folder).unlink()
    os.mkfifo(root_blob(folder))


TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (flip, "its bytes hash to"),
    "a cut blob": (lambda f: os.truncate(root_blob(f), 7), "has 7 bytes, the manifest says 20000"),
    "a missing blob": (lambda f: root_blob(f).unlink(), "is missing"),
    "a blob by symbolic link": (by_link, "cannot be read"),
    "a blob that is a fifo": (fifo, "no regular file"),
    "a folder by symbolic link": (linked_folder, "no folder of blobs"),
    "a strange blob": (lambda f: (f / "blobs/sha256/evil").touch(), "evil"),
    "a strange file": (lambda f: (f / "evil.sh").touch(), "evil.sh"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "is missing"),
    "a manifest that is no JSON": (lambda f: (f / "manifest.json").write_text("{"), "manifest.json"),
    "a huge manifest": (lambda f: (f / "manifest.json").write_text(" " * (2 << 20)), "longer than"),
    "another kernel release": (lambda f: manifest(f, kernel_release="6.2"), "its content has"),
    "another image": (lambda f: manifest(f, image="y"), "IMAGE@DIGEST"),
    "another name": (lambda f: manifest(f, name="x@0123456789ab"), "IMAGE@DIGEST"),
    "another digest": (lambda f: manifest(f, digest="0" * 64), "IMAGE@DIGEST"),
    "another digest and name": (lambda f: manifest(f, digest="0" * 64, name=f"x@{'0' * 12}"), "its content has"),
    "another kind": (lambda f: (f / "manifest.json").write_text('{"kind": "image", "name": "x"}'), "not a version"),
    "a list for a manifest": (lambda f: (f / "manifest.json").write_text("[]"), "not a manifest"),
    "an unknown field": (lambda f: manifest(f, run="rm"), "run: "),
    "a path for a hash": (lambda f: manifest(f, root={"sha256": "../../etc/shadow", "size": 1}), "root.sha256"),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_refused_and_nothing_is_stored(folder: Path, tmp_path: Path, what: str) -> None:
    tamper, message = TAMPERING[what]
    tamper(folder)
    other = Blobs(tmp_path / "other")
    with pytest.raises(MusterError, match=message):
        transfer.import_version(folder, other)
    assert not other.folder.exists()


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(MusterError, match="is missing"):
        transfer.import_version(tmp_path / "nowhere", Blobs(tmp_path / "other"))


def test_carrying_by_a_copying_program_is_fine(folder: Path, version: Version, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "usb")
    assert transfer.import_version(tmp_path / "usb", Blobs(tmp_path / "other")) == version


def test_a_symlink_in_the_store_is_not_followed(
    blobs: Blobs, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's owner may put one there after the blob was checked; root must not carry another file away."""
    (tmp_path / "secret").write_text("secret")

    def swapped(_: Blobs, blob: Blob) -> None:
        blobs.path(blob.sha256).unlink()
        blobs.path(blob.sha256).symlink_to(tmp_path / "secret")

    monkeypatch.setattr(Blobs, "verify", swapped)
    with pytest.raises(MusterError):
        transfer.export_version(blobs, version, tmp_path / "f")
    assert not (tmp_path / "f").exists()
