"""A version as a folder, to be carried to another controller: `manifest.json` and `blobs/sha256/<64 hex>`.

Nothing of such a folder is believed: names, lengths and hashes are checked before anything is stored.
"""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from muster.host.files import CHUNK, fsync_folder, write_atomic
from muster.images.shelf import discard
from muster.model.documents import parse
from muster.model.errors import ConflictError, NotFoundError, RequestError
from muster.model.objects import Blob, Version
from muster.store.blobs import Blobs

MANIFEST = "manifest.json"
MANIFEST_MAXIMUM = 1 << 20
_NOT_CONTENT = {"kind", "name", "digest"}


def digest(document: Mapping[str, object]) -> str:
    """sha256 over the canonical JSON (sorted keys, no blanks) of a version's content fields, without what is None."""
    content = {key: value for key, value in document.items() if key not in _NOT_CONTENT and value is not None}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def version_of(document: Mapping[str, object]) -> Version:
    """The version that a controller showed, without what it says beside the manifest. RequestError when it is none."""
    return _parsed({key: value for key, value in document.items() if key in Version.model_fields}, "")


def export_version(blobs: Blobs, version: Version, folder: Path, *, link: bool = False) -> None:
    """Write the folder, complete or not at all. `link` gives hard links where possible: for folders nobody edits.

    ConflictError when `folder` exists; NotFoundError or StoreError when a blob is not what it should be.
    """
    if folder.exists():
        raise ConflictError("exists already", where=str(folder), hint="name a folder that is not there yet")
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}")
    names = aside / "blobs/sha256"
    try:
        names.mkdir(parents=True)
        for blob in sorted(set(version.blobs), key=lambda blob: blob.sha256):
            blobs.verify(blob)
            _copy(blobs.path(blob.sha256), names / blob.sha256, link=link)
        fsync_folder(names)
        text = json.dumps(version.manifest(), indent=2, sort_keys=True)
        write_atomic(aside / MANIFEST, text.encode() + b"\n")
        aside.rename(folder)
        fsync_folder(folder.parent)
    finally:
        discard(aside)


def import_version(folder: Path, blobs: Blobs, *, link: bool = False) -> Version:
    """Check the folder wholly, then store its blobs. RequestError or NotFoundError names the file that is wrong."""
    version = _manifest(folder)
    wanted = {blob.sha256: blob for blob in version.blobs}
    names = folder / "blobs/sha256"
    if not _is_folder(folder / "blobs") or not _is_folder(names):
        raise NotFoundError("no folder of blobs", where=str(names))
    for where, allowed in ((folder, {MANIFEST, "blobs"}), (folder / "blobs", {"sha256"}), (names, set(wanted))):
        if strange := sorted({path.name for path in where.iterdir()} - allowed):
            raise RequestError(f"holds what the manifest does not name: {', '.join(strange[:5])}", where=str(where))
    for blob in wanted.values():
        _check(names / blob.sha256, blob)
    for blob in wanted.values():
        if not blobs.has(blob.sha256):
            _adopt(names / blob.sha256, blob, blobs, link=link)
    return version


def _manifest(folder: Path) -> Version:
    path = folder / MANIFEST
    with os.fdopen(_open(path), "rb") as file:
        data = file.read(MANIFEST_MAXIMUM + 1)
    if len(data) > MANIFEST_MAXIMUM:
        raise RequestError(f"longer than {MANIFEST_MAXIMUM} bytes", where=str(path))
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"not JSON: {error}", where=str(path)) from error
    if not isinstance(document, dict):
        raise RequestError("not a manifest", where=str(path))
    version = _parsed(document, str(path))
    found = digest(version.manifest())
    if version.digest != found:
        raise RequestError(f"says digest {version.digest}, its content has {found}", where=str(path))
    return version


def _parsed(document: dict[str, object], where: str) -> Version:
    version = parse(document, where)
    if not isinstance(version, Version):
        raise RequestError(f"not a version but a {version.kind}", where=where)
    return version


def _check(path: Path, blob: Blob) -> None:
    with os.fdopen(_open(path), "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) != blob.size:
            raise RequestError(f"has {size} bytes, the manifest says {blob.size}", where=str(path))
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != blob.sha256:
        raise RequestError(f"its bytes hash to {found}, not to its name", where=str(path))


def _adopt(path: Path, blob: Blob, blobs: Blobs, *, link: bool) -> None:
    """Store a checked blob. It is hashed once more on its way in: the folder may have changed meanwhile."""
    if link:
        copy = path.with_name(f".{path.name}")
        discard(copy)
        _copy(path, copy, link=True)
        stored = blobs.put_file(copy, move=True)
    else:
        stored = blobs.put_file(path)
    if stored != blob:
        raise RequestError("changed while it was read", where=str(path))


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError("is missing", where=str(path)) from error
    except OSError as error:
        raise RequestError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RequestError("is no regular file", where=str(path))
    return descriptor


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _copy(source: Path, target: Path, *, link: bool) -> None:
    """A second name for the same bytes, else a copy that shares its blocks where the file system can, made durable."""
    if link:
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    with os.fdopen(_open(source), "rb") as reader, target.open("xb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), CHUNK * 64):
                pass
        except OSError:
            reader.seek(0)
            writer.truncate(0)
            writer.seek(0)
            while chunk := reader.read(CHUNK):
                writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
