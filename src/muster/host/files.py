"""The only door to files that must survive a crash: written aside, fsynced, renamed, folder fsynced."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from muster.model.errors import ConflictError

CHUNK = 1 << 20


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`: a reader sees the old or the new bytes, also after power loss."""
    with aside(path, mode=mode) as file:
        file.write(data)


@contextmanager
def aside(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file beside `path` to write into; at the end of the block it takes `path`'s place, durably."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> tuple[str, int]:
    """Hex digest and length in bytes of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


@contextmanager
def locked(path: Path, *, wait: bool = False, holder: str = "another process") -> Iterator[None]:
    """Hold an exclusive flock on `path` (made if missing); ConflictError when it is taken and not `wait`.

    The file says the holder's process id. A symlink is refused (OSError): whoever may write into the folder could
    have us write elsewhere. The kernel drops the lock with the process, also on SIGKILL.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            said = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            known = f" (process id {said})" if said.isdigit() else ""
            raise ConflictError(f"{holder}{known} holds it", where=str(path)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
