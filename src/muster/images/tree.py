"""Reading and changing an image's tree without ever leaving it.

A tree is somebody else's root: `etc/shadow` may be a link to `/etc/shadow`. Links are followed as they would be on
the node, from the tree's own root (as chroot(2) does), never into this machine.
"""

import fnmatch
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muster.model.errors import RequestError

LINKS = 40
LIMIT = 64 << 20


@dataclass(frozen=True)
class Tree:
    """A folder that holds a whole root file system."""

    root: Path

    def resolve(self, path: str, *, follow_last: bool = True) -> str | None:
        """Where `path` lies in this tree once links are followed; None when it is absent. RequestError for a loop."""
        todo, here, links = path.split("/")[::-1], list[str](), 0
        while todo:
            part = todo.pop()
            if part == "..":
                here = here[:-1]
            if part in ("", ".", ".."):
                continue
            try:
                mode = self.root.joinpath(*here, part).lstat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not stat.S_ISLNK(mode) or not (todo or follow_last):
                here.append(part)
                continue
            if (links := links + 1) > LINKS:
                raise RequestError("symbolic links without end", where=str(self.root / path))
            target = str(self.root.joinpath(*here, part).readlink())
            here = [] if target.startswith("/") else here
            todo += target.split("/")[::-1]
        return "/".join(here)

    def path(self, path: str, *, follow_last: bool = True) -> Path | None:
        """As `resolve`, as a path of this machine that holds no link but perhaps its last part."""
        found = self.resolve(path, follow_last=follow_last)
        return None if found is None else self.root / found

    def exists(self, path: str) -> bool:
        """Whether it is there, a dangling link counts."""
        return self.resolve(path, follow_last=False) is not None

    def is_file(self, path: str) -> bool:
        return (found := self.path(path)) is not None and stat.S_ISREG(found.lstat().st_mode)

    def is_folder(self, path: str) -> bool:
        return (found := self.path(path)) is not None and stat.S_ISDIR(found.lstat().st_mode)

    def read(self, path: str, *, limit: int = LIMIT) -> bytes | None:
        """A regular file's bytes; None when absent. RequestError when it is no regular file or over `limit` bytes."""
        found = self.path(path)
        if found is None:
            return None
        if not stat.S_ISREG(found.lstat().st_mode):
            raise RequestError("not a regular file", where=str(found))
        descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise RequestError(f"longer than {limit} bytes", where=str(found))
        return data

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none when it is absent or no folder."""
        found = self.path(path)
        return sorted(path.name for path in found.iterdir()) if found is not None and self.is_folder(path) else []

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, part by part (`*`, `?`, `[]`), sorted; links stand for themselves in the last part."""
        found = [""]
        for part in pattern.split("/"):
            joined = ((base, name) for base in found for name in self._matches(base, part))
            found = [f"{base}/{name}" if base else name for base, name in joined]
        return found

    def remove(self, pattern: str) -> int:
        """Delete what matches, whole folders too; how many there were."""
        matches = [path for match in self.glob(pattern) if (path := self.path(match, follow_last=False))]
        for path in matches:
            if stat.S_ISDIR(path.lstat().st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()
        return len(matches)

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Put a regular file in place of whatever has this name; missing folders are made with 0755."""
        folder, _, name = path.rpartition("/")
        where = self.make_folder(folder) / name
        if where.is_symlink() or where.exists():
            self.remove(_literal(path))
        descriptor = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)

    def make_folder(self, path: str) -> Path:
        """The folder of this path, made where it is missing. RequestError when something else has its name."""
        done = ""
        for part in filter(None, path.split("/")):
            done = f"{done}/{part}".lstrip("/")
            if not self.exists(done):
                parent = self.path(done.rpartition("/")[0])
                assert parent is not None
                (parent / part).mkdir(mode=0o755)
                (parent / part).chmod(0o755)
            if not self.is_folder(done):
                raise RequestError("not a folder of this tree", where=str(self.root / done))
        found = self.path(done)
        assert found is not None
        return found

    def walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every path below the root with its lstat, in one order that depends on the names only."""
        yield "", self.root.lstat()
        yield from self._walk("")

    def _walk(self, base: str) -> Iterator[tuple[str, os.stat_result]]:
        for name in sorted(path.name for path in (self.root / base).iterdir()):
            path = f"{base}/{name}" if base else name
            status = (self.root / path).lstat()
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(path)

    def _matches(self, base: str, part: str) -> list[str]:
        if not any(character in part for character in "*?["):
            return [part] if self.exists(f"{base}/{part}") else []
        return fnmatch.filter(self.names(base), part)


def _literal(path: str) -> str:
    """A pattern that matches exactly this path."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
