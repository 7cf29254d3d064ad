"""What a backup is: a zip archive of files under the names below, and a manifest that says what each must be.

Zip, because its members are bytes under a name and nothing else: no owners, no devices, no links to follow.
Symbolic links of overlays are therefore entries of the manifest.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from muster.host.files import CHUNK
from muster.model.errors import NotFoundError, RequestError
from muster.model.objects import Frozen
from muster.model.values import Sha256

MANIFEST = "manifest.json"
MANIFEST_MAXIMUM = 64 << 20
"""Bytes; a site's overlays and recipes make a few thousand entries of 200 bytes."""

STORE, BOOTS, SITE, SECRETS, ETC = "store.db", "boots.db", "site", "secrets", "etc"


class Entry(Frozen):
    """One file, folder or symbolic link. `size` in bytes; `mode` is the permission bits."""

    path: Annotated[str, Field(pattern=r"^(store\.db|boots\.db|site|secrets/[^/\x00]+|etc(/[^/\x00]+)+)$")]
    type: Literal["file", "folder", "link"] = "file"
    mode: Annotated[int, Field(ge=0, le=0o777)] = 0o644
    size: Annotated[int, Field(ge=0)] = 0
    sha256: Sha256 | None = None
    target: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]+$")] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if {".", ".."} & set(self.path.split("/")):
            raise ValueError(f"leads out of its folder: {self.path!r}")
        if (self.type == "file") != (self.sha256 is not None) or (self.type == "link") != (self.target is not None):
            raise ValueError(f"{self.path!r} is not wholly described")
        if self.type != "file" and not self.path.startswith("etc/"):
            raise ValueError(f"{self.path!r} must be a file")
        return self


class Manifest(Frozen):
    """What the archive holds. `made`: Unix time in seconds; `versions`: those whose blobs must be carried beside it."""

    format: Literal[1] = 1
    release: str
    made: float
    secrets: bool
    versions: tuple[str, ...]
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        names = [entry.path for entry in self.entries]
        if len(set(names)) != len(names):
            raise ValueError("an entry is there twice")
        folders = {ETC, SECRETS, *(entry.path for entry in self.entries if entry.type == "folder")}
        for name in names:
            above = name.rpartition("/")[0]
            if above and above not in folders:
                raise ValueError(f"{name!r} lies in what is no folder of this backup")
        if STORE not in names or SITE not in names:
            raise ValueError("there is no store in it")
        return self

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)


def read_manifest(archive: zipfile.ZipFile, where: Path) -> Manifest:
    """Raises RequestError for anything but a manifest with exactly its members."""
    try:
        data = b"".join(_chunks(archive, MANIFEST, MANIFEST_MAXIMUM))
    except KeyError as error:
        raise RequestError("no backup of Muster: it has no manifest", where=str(where)) from error
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"the manifest is wrong: {first['loc']}: {first['msg']}", where=str(where)) from error
    wanted = [MANIFEST, *(entry.path for entry in manifest.entries if entry.type == "file")]
    if sorted(archive.namelist()) != sorted(wanted):
        raise RequestError("its members are not those of its manifest", where=str(where))
    return manifest


def opened(path: Path) -> zipfile.ZipFile:
    """Raises NotFoundError or RequestError."""
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path)) from error
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:  # the last: of a later version of zip
        raise RequestError(f"no backup of Muster: {error}", where=str(path)) from error


def lay(archive: zipfile.ZipFile, entry: Entry, target: Path) -> None:
    """Write one entry at `target`, which must not exist. RequestError when its bytes are not the manifest's."""
    if entry.type == "folder":
        target.mkdir(mode=entry.mode, exist_ok=True)
        return
    if entry.type == "link":
        target.symlink_to(str(entry.target))
        return
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in _chunks(archive, entry.path, entry.size):
            digest.update(chunk)
            file.write(chunk)
        if file.tell() != entry.size:
            raise RequestError(f"has {file.tell()} bytes, the manifest says {entry.size}", where=entry.path)
        os.fchmod(file.fileno(), entry.mode)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise RequestError("its bytes do not hash to what the manifest says", where=entry.path)


def _chunks(archive: zipfile.ZipFile, name: str, limit: int) -> Iterator[bytes]:
    """The bytes of a member; RequestError as soon as there are more than `limit`, whatever the archive says."""
    seen = 0
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RequestError("is not packed as we pack", where=name)
    try:
        with archive.open(name) as member:
            while chunk := member.read(CHUNK):
                seen += len(chunk)
                if seen > limit:
                    raise RequestError(f"has more than {limit} bytes", where=name)
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it is encrypted
        raise RequestError(f"is damaged: {error}", where=name) from error
