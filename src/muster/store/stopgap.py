"""A database on a disk that takes nothing more, not even the files that SQLite needs beside it to open it.

After a clean stop the database is whole in one file, which can be read as it is: so a controller that is started
on a full or read-only disk still answers its nodes.
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

_DISK = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)
"""Primary result codes (sqlite.org/rescode.html) of a disk that takes nothing, or gives nothing."""


def as_it_is(path: Path, schema: int, error: sqlite3.Error) -> sqlite3.Connection:
    """A connection that only reads; for after `error`, which is raised again when the disk was not the reason.

    Also raised when a log lies beside the database, because then the file alone is not the whole of it, and when its
    schema has another number.
    """
    log = path.with_name(f"{path.name}-wal")
    if error.sqlite_errorcode & 0xFF not in _DISK or not path.is_file() or (log.exists() and log.stat().st_size):
        raise error
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == (0,) or connection.execute("PRAGMA user_version").fetchone() != (schema,):
        connection.close()
        raise error
    return connection
