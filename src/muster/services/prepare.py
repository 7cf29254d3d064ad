"""The folders of a controller with their owners, made at every start; existing content is left alone.

Folders that root writes into are root's, also below those that the services' user may write to: those are
sticky, so that this user can neither replace nor redirect what root made there. Trees of images, and the copies
of them in the cache, are for root alone: they hold password hashes, old programs with set-user-ID, and folders that
everybody may write to.
"""

import os
import pwd
import secrets
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import muster
from muster.host import files
from muster.host.paths import Paths
from muster.model.errors import MusterError, RequestError

TOKEN_KEY = "token-key"
TOKEN_KEY_BYTES = 32


@dataclass(frozen=True)
class Account:
    """A user id with its own group id, in numbers."""

    uid: int
    gid: int


def account(user: str) -> Account:
    """The ids of a user name, or of a numeric id, which needs no passwd entry (its group is then its own number)."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError as error:
        if user.isdigit():
            return Account(int(user), int(user))
        raise RequestError(f"no user {user!r} on this machine", hint="muster init makes it") from error
    return Account(entry.pw_uid, entry.pw_gid)


def prepare(paths: Paths, user: str) -> Account:
    """Make all folders of `paths` for `user`. Run as root. Raises RequestError where that user could not reach them."""
    owner = account(user)
    root = Account(0, 0)
    shared = Account(0, owner.gid)
    for parent in (paths.state.parent, paths.run.parent, paths.cache.parent, paths.etc.parent):
        parent.mkdir(parents=True, exist_ok=True)
    for path, mode, who in (
        (paths.etc, 0o755, root),
        (paths.run, 0o1775, shared),
        (paths.nginx, 0o750, owner),
        (paths.state, 0o1775, shared),
        (paths.blobs, 0o755, owner),
        (paths.blobs / "sha256", 0o755, owner),
        (paths.images, 0o700, root),
        (paths.secrets, 0o700, owner),
        (paths.tftp, 0o755, root),
        (paths.dnsmasq, 0o755, owner),
        (paths.ganesha, 0o750, owner),
        (paths.nfs, 0o755, root),
        (paths.cache, 0o700, root),
    ):
        _folder(path, mode, who)
    _reachable(paths.state, owner)
    _reachable(paths.run, owner)
    return owner


def token_key(paths: Paths, owner: Account) -> bool:
    """Draw the key that node tokens are made with, unless it is there; True when drawn."""
    descriptor = _opened(paths.secrets)
    try:
        # by the folder itself, not by its name: its owner could put a symlink there after we looked
        path = Path(f"/proc/self/fd/{descriptor}") / TOKEN_KEY
        if path.exists():
            return False
        with files.aside(path, mode=0o600) as file:
            os.fchown(file.fileno(), owner.uid, owner.gid)
            file.write(secrets.token_bytes(TOKEN_KEY_BYTES))
    finally:
        os.close(descriptor)
    return True


def _folder(path: Path, mode: int, owner: Account) -> None:
    path.mkdir(exist_ok=True)
    descriptor = _opened(path)
    try:
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (owner.uid, owner.gid):
            os.fchown(descriptor, owner.uid, owner.gid)
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    """A descriptor of this very folder; MusterError when it is absent or a symlink."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise MusterError(f"a folder of our own is wanted here: {error.strerror}", where=str(path)) from error


def refuse_unreadable_program(user: str) -> None:
    """RequestError when the services' user cannot come to this program: a clone or environment below a closed home."""
    for place in (Path(sys.prefix), Path(muster.__file__).parent):
        _reachable(place, account(user), hint="make install puts Muster where everybody can read it")


def _reachable(path: Path, owner: Account, hint: str = "choose another --prefix, or chmod o+x") -> None:
    for folder in path.parents:
        found = folder.stat()
        mine = found.st_uid == owner.uid and found.st_mode & stat.S_IXUSR
        grouped = found.st_gid == owner.gid and found.st_mode & stat.S_IXGRP
        if not (mine or grouped or found.st_mode & stat.S_IXOTH):
            raise RequestError(
                f"user id {owner.uid} cannot pass through this folder to {path}",
                where=str(folder),
                hint=hint,
            )
