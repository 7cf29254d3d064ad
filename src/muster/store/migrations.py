"""The schema of the store, one numbered step after another, forward only (SQLite `PRAGMA user_version`)."""

import sqlite3
from pathlib import Path

from muster.host.files import fsync_folder
from muster.model.errors import StoreError

MIGRATIONS = (
    """
    CREATE TABLE objects (
        kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, revision INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE TABLE changes (
        sequence INTEGER PRIMARY KEY, revision INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
        before TEXT, after TEXT, who TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE INDEX changes_by_revision ON changes (revision);
    CREATE INDEX changes_by_object ON changes (kind, name);
    """,
    # Whether an object changed since a revision is asked with every write: one look, however long its history.
    """
    DROP INDEX changes_by_object;
    CREATE INDEX changes_by_object ON changes (kind, name, revision);
    """,
    """
    CREATE INDEX changes_by_kind ON changes (kind);
    CREATE INDEX changes_by_who ON changes (who);
    CREATE INDEX changes_by_time ON changes (at);
    """,
)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the store to this release's schema, after a backup copy beside it; a newer schema is refused.

    A step is one transaction with its number: whenever it is killed, the store is wholly before or after a step.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"made by a newer Muster (schema {version}, this one knows {len(MIGRATIONS)})",
            where=str(path),
            hint="run the newer release, or restore the backup that lies beside the store",
        )
    if 0 < version < len(MIGRATIONS):
        _backup(connection, path.with_name(f"{path.name}.schema-{version}"))
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(f"BEGIN;{MIGRATIONS[number]};PRAGMA user_version={number + 1};COMMIT;")


def _backup(connection: sqlite3.Connection, target: Path) -> None:
    """A copy that is whole once it has its name."""
    aside = target.with_name(f".{target.name}")
    aside.unlink(missing_ok=True)
    copy = sqlite3.connect(aside)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    aside.rename(target)
    fsync_folder(target.parent)
