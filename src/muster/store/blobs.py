"""Bytes under their sha256: `FOLDER/sha256/<64 hex>`, written aside, hashed while streaming, fsynced, renamed.

A blob that is there is whole: readers (nginx, packers) need no lock. Publishing the same bytes twice is no change.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from muster.host.files import CHUNK, fsync_folder, sha256_file
from muster.model.errors import NotFoundError, RequestError, StoreError
from muster.model.objects import Blob

_HEX = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of blobs. NotFoundError: an absent blob; StoreError: a disk that fails or bytes that lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sha256"

    def path(self, sha256: str) -> Path:
        """Where the blob of this name lies or would lie; RequestError when it is no name of a blob."""
        if not _HEX.fullmatch(sha256):
            raise RequestError(f"not the sha256 of a blob: {sha256!r}")
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def put_bytes(self, data: bytes) -> Blob:
        """Store these bytes."""
        with self._incoming() as (temporary, file):
            file.write(data)
            return self._publish(temporary, file, Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data)))

    def put_file(self, path: Path, *, move: bool = False) -> Blob:
        """Store a file's bytes; with `move` the file itself becomes the blob when it is on the same file system."""
        if move and (taken := self._take(path)) is not None:
            return taken
        with path.open("rb") as source, self._incoming() as (temporary, file):
            digest, size = hashlib.sha256(), 0
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += file.write(chunk)
            blob = self._publish(temporary, file, Blob(sha256=digest.hexdigest(), size=size))
        if move:
            path.unlink()
        return blob

    def remove(self, sha256: str) -> None:
        """Forget a blob; well also when it is not there. The caller knows that nobody needs it."""
        self.path(sha256).unlink(missing_ok=True)

    def verify(self, blob: Blob) -> None:
        """Read the blob back. StoreError: its length or its hash is wrong; NotFoundError: it is absent."""
        path = self.path(blob.sha256)
        if not path.is_file():
            raise NotFoundError(f"blob {blob.sha256} is missing", where=str(path))
        if (size := path.stat().st_size) != blob.size:
            raise StoreError(f"blob has {size} bytes, not {blob.size}", where=str(path))
        if (found := sha256_file(path)[0]) != blob.sha256:
            raise StoreError(f"blob's bytes hash to {found}", where=str(path))

    def _take(self, path: Path) -> Blob | None:
        """Rename a file of this file system into the store; None when it is on another one."""
        self._prepare()
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_dev != self.folder.stat().st_dev:
                return None
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return self._publish(path, file, Blob(sha256=digest, size=file.tell()))

    def _prepare(self) -> None:
        """The folder, owned as its parent is: root packs, the unprivileged app stores blobs too."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.folder.mkdir()
        except FileExistsError:
            return
        owner = self.folder.parent.lstat()
        if os.geteuid() == 0:
            # the parent's owner could have put a symlink in its place meanwhile
            os.chown(self.folder, owner.st_uid, owner.st_gid, follow_symlinks=False)

    @contextmanager
    def _incoming(self) -> Iterator[tuple[Path, IO[bytes]]]:
        self._prepare()
        temporary = self.folder / f".incoming.{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                yield temporary, file
        except OSError as error:
            raise StoreError(f"cannot write a blob: {error.strerror}", where=str(self.folder)) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _publish(self, temporary: Path, file: IO[bytes], blob: Blob) -> Blob:
        """Make it durable, then visible. A blob of this name with another length is replaced: it was never whole."""
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
        target = self.path(blob.sha256)
        if target.is_file() and target.stat().st_size == blob.size:
            temporary.unlink()
        else:
            temporary.rename(target)
            fsync_folder(self.folder)
        return blob
