"""One folder of an overlay, read once into facts: `files/`, `include/` and `meta.yaml`.

Nothing is followed: a symlink is text to be laid, and anything that is not a file, folder or symlink is refused.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from muster.overlays.errors import OverlayError
from muster.overlays.meta import META, Meta, parse_meta
from muster.overlays.paths import PathError, check, printable

FILES = "files"
INCLUDE = "include"
TEMPLATE_SUFFIX = ".j2"
MOST_FILES = 20_000
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class SourceFile:
    """One thing under `files/`. `path` is where it goes; `file` is where it was read, inside the overlay's folder."""

    path: str
    file: str
    kind: Literal["file", "symlink", "directory"]
    mode: int
    content: bytes = b""
    template: bool = False
    empty: bool = False


@dataclass(frozen=True)
class Source:
    """An overlay's folder as it was at one moment. `includes` are name and text of the fragments in `include/`."""

    files: tuple[SourceFile, ...]
    includes: tuple[tuple[str, bytes], ...]
    meta: Meta


def read_source(folder: Path, overlay: str) -> Source:
    """Read an overlay's folder. Raises OverlayError naming the file that cannot be."""
    try:
        return _Reader(folder, overlay).source()
    except OSError as error:
        raise OverlayError(f"cannot be read: {error.strerror}: {error.filename}", overlay=overlay) from error


class _Reader:
    def __init__(self, folder: Path, overlay: str) -> None:
        self.folder = folder
        self.overlay = overlay
        self.bytes_left = MOST_BYTES
        self.files_left = MOST_FILES

    def source(self) -> Source:
        files = tuple(self._walk(FILES, ""))
        self._refuse_pairs(files)
        includes = tuple((f.file, f.content) for f in self._walk(INCLUDE, "") if f.kind == "file")
        return Source(files, includes, self._meta())

    def _meta(self) -> Meta:
        if not os.path.lexists(self.folder / META):
            return Meta()
        content, _ = self._read(META)
        return parse_meta(content, self.overlay)

    def _walk(self, top: str, below: str) -> Iterator[SourceFile]:
        """Everything below one folder, folders before what is in them, sorted by name."""
        here = f"{top}/{below}" if below else top
        if not below and not os.path.lexists(self.folder / top):
            return
        if (self.folder / here).is_symlink():
            raise self._error("must be a folder, not a symlink", here)
        for name in self._names(here):
            path = f"{below}/{name}" if below else name
            found = self._one(f"{top}/{path}", path)
            yield found
            if found.kind == "directory":
                yield from self._walk(top, path)

    def _names(self, here: str) -> list[str]:
        try:
            return sorted(item.name for item in (self.folder / here).iterdir())
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}", here) from error

    def _one(self, file: str, path: str) -> SourceFile:
        self.files_left -= 1
        if self.files_left < 0:
            raise self._error(f"more than {MOST_FILES} files", file)
        self._check(path, file)
        state = os.lstat(self.folder / file)
        if stat.S_ISDIR(state.st_mode):
            empty = not self._names(file)
            return SourceFile(path, file, "directory", stat.S_IMODE(state.st_mode), empty=empty)
        if stat.S_ISLNK(state.st_mode):
            return self._symlink(file, path)
        if not stat.S_ISREG(state.st_mode):
            raise self._error("is a device, socket or pipe: an overlay holds files, folders and symlinks", file)
        content, mode = self._read(file)
        if path.endswith(TEMPLATE_SUFFIX):
            self._check(path.removesuffix(TEMPLATE_SUFFIX), file)
            return SourceFile(path.removesuffix(TEMPLATE_SUFFIX), file, "file", mode, content, template=True)
        return SourceFile(path, file, "file", mode, content)

    def _check(self, path: str, file: str) -> None:
        try:
            check(path)
        except PathError as error:
            raise self._error(str(error), file) from error

    def _symlink(self, file: str, path: str) -> SourceFile:
        target = str((self.folder / file).readlink())
        if not printable(target):
            raise self._error("the symlink's target has control characters or is not UTF-8", file)
        if path.endswith(TEMPLATE_SUFFIX):
            raise self._error("a template must be a file; for a rendered symlink use `symlink` in meta.yaml", file)
        return SourceFile(path, file, "symlink", 0o777, target.encode())

    def _read(self, file: str) -> tuple[bytes, int]:
        """Content and mode of a regular file; O_NOFOLLOW so that a file swapped for a symlink is not followed."""
        try:
            descriptor = os.open(self.folder / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}", file) from error
        with os.fdopen(descriptor, "rb") as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise self._error("is not a regular file", file)
            content = stream.read(min(state.st_size, self.bytes_left) + 1)
        self.bytes_left -= len(content)
        if self.bytes_left < 0:
            raise self._error(
                f"the overlay is larger than {MOST_BYTES >> 20} MiB", file, hint="put large things into the image"
            )
        return content, stat.S_IMODE(state.st_mode)

    def _refuse_pairs(self, files: tuple[SourceFile, ...]) -> None:
        seen: dict[str, str] = {}
        for found in files:
            if found.path in seen:
                raise self._error(f"lays /{found.path}, and so does {seen[found.path]}", found.file)
            seen[found.path] = found.file

    def _error(self, message: str, file: str, *, hint: str = "") -> OverlayError:
        return OverlayError(message, overlay=self.overlay, file=file.encode(errors="replace").decode(), hint=hint)
