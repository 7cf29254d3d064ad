"""A backup of a controller, made while it runs: its objects, its record of boots, what /etc/muster holds, its site id.

Secrets (with them the key of node tokens) only when asked for. Blobs are not in it: they never change and are
large; the manifest lists the versions that `muster image export` carries.
"""

import hashlib
import sqlite3
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from muster.host.files import CHUNK, aside, sha256_file
from muster.host.paths import Paths
from muster.model.errors import NotFoundError, StoreError
from muster.store.archive import BOOTS, ETC, MANIFEST, SECRETS, SITE, STORE, Entry, Manifest


def backup(paths: Paths, target: Path, *, secrets: bool, release: str, now: float) -> Manifest:
    """Write the archive, complete or not at all, readable by its owner only. `now` is Unix time in seconds.

    Raises NotFoundError without a store; StoreError when it cannot be read or the archive not be written.
    """
    if not paths.store.is_file():
        raise NotFoundError("there is no store", where=str(paths.store), hint="name the controller's --prefix")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup.") as folder:
            copies = Path(folder)
            sources = dict(_sources(paths, copies, secrets=secrets))
            entries = tuple(_entry(name, path) for name, path in sources.items())
            versions = _versions(copies / STORE)
            manifest = Manifest(release=release, made=now, secrets=secrets, versions=versions, entries=entries)
            with aside(target, mode=0o600) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(MANIFEST, manifest.model_dump_json(exclude_none=True))
                for entry in entries:
                    if entry.type == "file":
                        _add(archive, entry, sources[entry.path])
    except sqlite3.Error as error:
        raise StoreError(f"cannot be copied: {error}", where=str(paths.store)) from error
    except OSError as error:
        where = error.filename or target
        raise StoreError(f"no backup was made: {error.strerror or error}", where=str(where)) from error
    return manifest


def _sources(paths: Paths, copies: Path, *, secrets: bool) -> Iterator[tuple[str, Path]]:
    """Each name in the archive and where its bytes are."""
    for name, database in ((STORE, paths.store), (BOOTS, paths.boots)):
        if database.is_file():
            yield name, _copied(database, copies / name)
    yield SITE, paths.state / "site"
    folders = [(ETC, paths.etc)] + ([(SECRETS, paths.secrets)] if secrets else [])
    for name, folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or path.is_dir() or path.is_file():
                yield f"{name}/{path.relative_to(folder)}", path


def _copied(database: Path, copy: Path) -> Path:
    """As of one moment, also while it is written to (sqlite3_backup_init); no log of its own is needed beside it."""
    with closing(sqlite3.connect(database, timeout=10)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    return copy


def _entry(name: str, path: Path) -> Entry:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise StoreError("its name is not UTF-8", where=repr(name), hint="rename it") from error
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode) & 0o777
    if stat.S_ISLNK(found.st_mode):
        return Entry(path=name, type="link", target=str(path.readlink()))
    if stat.S_ISDIR(found.st_mode):
        return Entry(path=name, type="folder", mode=mode)
    sha256, size = sha256_file(path)
    return Entry(path=name, mode=mode, size=size, sha256=sha256)


def _add(archive: zipfile.ZipFile, entry: Entry, path: Path) -> None:
    member = zipfile.ZipInfo(entry.path)
    member.compress_type = zipfile.ZIP_DEFLATED
    digest = hashlib.sha256()
    with path.open("rb") as source, archive.open(member, "w", force_zip64=True) as target:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise StoreError("changed while it was read", where=str(path), hint="repeat the backup")


def _versions(store: Path) -> tuple[str, ...]:
    with closing(sqlite3.connect(store)) as copy:
        rows = copy.execute("SELECT name FROM objects WHERE kind='version' ORDER BY name").fetchall()
    return tuple(name for (name,) in rows)
