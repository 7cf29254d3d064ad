"""The objects as they lie on the disk, read by someone who is not the app and changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from muster.model.errors import NotFoundError, StoreError
from muster.model.objects import KINDS
from muster.model.world import Change, World


def read_world(path: Path) -> World:
    """The last committed world. NotFoundError: there is no store; StoreError: it cannot be read."""
    if not path.is_file():
        raise NotFoundError("no store yet", where=str(path), hint="muster serve makes it")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if damage != "ok":
                raise StoreError(f"damaged: {damage}", where=str(path), hint="restore the last backup")
            (revision,) = connection.execute("SELECT coalesce(max(revision), 0) FROM changes").fetchone()
            rows = connection.execute("SELECT kind, name, document FROM objects").fetchall()
        loaded = [Change(kind, name, None, KINDS[kind].model_validate_json(text)) for kind, name, text in rows]
    except (sqlite3.Error, KeyError, ValidationError) as error:
        raise StoreError(f"cannot be read: {error}", where=str(path)) from error
    return World().with_changes(loaded, revision)
