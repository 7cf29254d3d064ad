"""A backup laid on a controller that does not run: checked wholly, written aside, then renamed into place.

What was there before is kept under `NAME.before-restore-TIME-MARK`. The store comes last: while it is not there,
nothing starts on half a restore.
"""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from muster.host.clock import Clock
from muster.host.files import fsync_folder
from muster.host.paths import Paths
from muster.model.errors import ConflictError, RequestError, StoreError
from muster.store.archive import BOOTS, ETC, SECRETS, SITE, STORE, Manifest, lay, opened, read_manifest
from muster.store.database import Store

Owner = Callable[[Path], tuple[int, int]]
"""The user and group id that services run as, by the muster.yaml that will count."""


def restore(archive: Path, paths: Paths, owner: Owner, clock: Clock, *, force: bool) -> Manifest:
    """Lay the backup on this prefix; the caller knows that no controller runs here.

    A muster.yaml that is there already counts on, unless `force`. ConflictError when there is a store or a filled
    /etc/muster and not `force`; RequestError for an archive that is damaged, or not one of ours.
    """
    with opened(archive) as members:
        manifest = read_manifest(members, archive)
        if not force:
            _refuse_existing(paths)
        for folder in (paths.state, paths.etc.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if manifest.size > (free := shutil.disk_usage(paths.state).free):
            raise RequestError(f"needs {manifest.size} bytes, there are {free}", where=str(paths.state))
        mark = secrets.token_hex(6)
        state, etc = paths.state / f".restore.{mark}", paths.etc.parent / f".{paths.etc.name}.restore.{mark}"
        try:
            state.mkdir(mode=0o700)
            (state / SECRETS).mkdir(mode=0o700)
            etc.mkdir(mode=0o755)
            for entry in sorted(manifest.entries, key=lambda e: (e.type != "folder", e.path)):
                first, _, rest = entry.path.partition("/")
                lay(members, entry, etc / rest if first == ETC else state / entry.path)
            Store(state / STORE, clock).close()  # it can be read, and by this release
            if not force and paths.config.is_file():
                shutil.copy2(paths.config, etc / paths.config.name)
            _give(state, owner(etc / paths.config.name))
            _publish(paths, state, etc, f"before-restore-{int(clock.now())}-{mark[:4]}")
        except OSError as error:
            raise StoreError(f"not restored: {error.strerror}", where=str(error.filename or paths.state)) from error
        finally:
            shutil.rmtree(state, ignore_errors=True)
            shutil.rmtree(etc, ignore_errors=True)
    return manifest


def _refuse_existing(paths: Paths) -> None:
    filled = [path for path in (paths.etc.iterdir() if paths.etc.is_dir() else ()) if path != paths.config]
    if existing := next((path for path in (paths.store, *filled) if path.exists()), None):
        raise ConflictError(
            "is there already", where=str(existing), hint="--force keeps it aside and puts the backup in its place"
        )


def _give(folder: Path, owner: tuple[int, int]) -> None:
    for path in folder.rglob("*"):
        os.chown(path, *owner, follow_symlinks=False)


def _publish(paths: Paths, state: Path, etc: Path, suffix: str) -> None:
    _replace(etc, paths.etc, suffix)
    if not paths.secrets.is_dir():
        (state / SECRETS).rename(paths.secrets)
    else:
        for secret in (state / SECRETS).iterdir():
            _replace(secret, paths.secrets / secret.name, suffix)
    for target in (paths.boots, paths.store):
        _fold(target)
    # The old store goes first and the new one comes last.
    _away(paths.store, suffix)
    for source, target in ((BOOTS, paths.boots), (SITE, paths.state / SITE), (STORE, paths.store)):
        if (state / source).exists():
            _replace(state / source, target, suffix)


def _replace(source: Path, target: Path, suffix: str) -> None:
    _away(target, suffix)
    source.rename(target)
    fsync_folder(target.parent)


def _away(target: Path, suffix: str) -> None:
    """Database logs go with their database: beside another one they would be taken for its own."""
    for name in (target.name, f"{target.name}-wal", f"{target.name}-shm"):
        if (old := target.with_name(name)).exists():
            old.rename(old.with_name(name.replace(target.name, f"{target.name}.{suffix}", 1)))


def _fold(database: Path) -> None:
    """Bring a database's log into it, so that one file is the whole of it; a broken one is kept as it is."""
    if database.is_file():
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
