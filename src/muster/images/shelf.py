"""A cache folder kept to a bound: entries are files or folders, made aside and renamed, the least recently used go.

What an entry is worth follows from its name alone, which is made of everything that shaped it; times only say which go.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KEEP = 6


@dataclass(frozen=True)
class Shelf:
    """At most `keep` entries in `folder`."""

    folder: Path
    keep: int = KEEP

    def find(self, name: str) -> Path | None:
        """The entry of this name; looking counts as use."""
        path = self.folder / name
        if not path.exists():
            return None
        os.utime(path)
        return path

    def newest(self, prefix: str) -> Path | None:
        """The most recently used entry whose name begins so."""
        return max(self.folder.glob(f"{prefix}*"), key=lambda path: path.stat().st_mtime_ns, default=None)

    @contextmanager
    def put(self, name: str) -> Iterator[Path]:
        """A path to make the entry at; it gets its name at the end of the block, unless another one has it by then."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f".{secrets.token_hex(8)}"
        try:
            yield aside
            if not (self.folder / name).exists():
                aside.rename(self.folder / name)
            self._trim()
        finally:
            discard(aside)

    def drop(self, name: str) -> None:
        """Forget an entry."""
        discard(self.folder / name)

    def _trim(self) -> None:
        entries = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        for path in sorted(entries, key=lambda path: path.stat().st_mtime_ns, reverse=True)[self.keep :]:
            discard(path)


def discard(path: Path) -> None:
    """Delete a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@cache
def code_digest(files: tuple[str, ...]) -> str:
    """A hash of this package's own source files: what they make is reused only by the code that made it."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join(hashlib.sha256((folder / file).read_bytes()).digest() for file in files)).hexdigest()
