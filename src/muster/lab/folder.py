"""The lab's folder and who holds it: the root process, from before its start until the kernel ends it.

The hold is an flock on DIR/lock, inherited by the root; the kernel drops it with the last process of the lab,
so a folder without a holder is what a killed lab left behind.
"""

import fcntl
import os
import shutil
import time
from pathlib import Path

from muster.lab.plan import BASE
from muster.model.errors import ConflictError, MusterError, RequestError

POLL = 0.02


def claim(folder: Path) -> int:
    """Make the folder, or empty it of a killed lab's remains; returns the descriptor that holds it.

    ConflictError: a lab runs there. RequestError: it holds other things than a lab; they are left alone.
    """
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    others = [entry.name for entry in folder.iterdir()]
    if others and "lock" not in others:
        raise RequestError("not empty and not a lab", where=str(folder), hint="name another --dir")
    while True:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _taken(lock):
            os.close(lock)
            raise ConflictError("a lab runs here", where=str(folder), hint="muster lab status, or muster lab down")
        if _is_still(lock, folder / "lock"):
            break
        os.close(lock)
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder.chmod(0o711)
    empty(folder)
    return lock


def held(folder: Path) -> bool:
    """Whether a lab runs there."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(lock)
    finally:
        os.close(lock)


def wait_until_free(folder: Path, *, timeout: float) -> bool:
    """Whether the last process of the lab ended within `timeout` seconds."""
    end = time.monotonic() + timeout
    while held(folder):
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


def empty(folder: Path) -> None:
    """Remove everything but the lock. A lab's mounts lived in its own namespace: none can be in the way."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()


def remove(folder: Path) -> None:
    """Remove a lab's folder that nobody holds; ConflictError when somebody does. Nothing there is well."""
    if not folder.exists():
        return
    lock = claim(folder)
    try:
        (folder / "lock").unlink()
        folder.rmdir()
        _remove_base(folder.parent)
    except OSError as error:
        raise MusterError(f"cannot remove: {error.strerror}", where=str(folder)) from error
    finally:
        os.close(lock)


def _remove_base(base: Path) -> None:
    """/var/lib/muster-lab itself goes with the last lab in it."""
    if base == BASE and not any(base.iterdir()):
        base.rmdir()


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(lock: int, path: Path) -> bool:
    """Whether the file that we hold is the one of that name: another `up` or `down` may have removed it meanwhile."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(lock), named)
