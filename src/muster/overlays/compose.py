"""Layers into one list: shipped < site for each overlay, then several overlays in the order asked for.

A site's overlay of the same name replaces single files of the shipped one; what its meta.yaml says of a path is laid
key by key over what the shipped one says. Everything here is about sources: conditions and templates are decided by the
renderer, because "the later wins" holds only for entries whose condition is true on that node.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from muster.model.errors import NotFoundError, RequestError
from muster.overlays.errors import OverlayError
from muster.overlays.meta import META, Expression, PathMeta, Scope, When
from muster.overlays.paths import is_overlay_name
from muster.overlays.source import Source, SourceFile, read_source

Kind = Literal["file", "symlink", "directory", "whiteout"]
DIRECTORY_MODE = 0o755
WHITEOUT_MODE = 0o600


@dataclass(frozen=True)
class Entry:
    """One thing an overlay may lay. `path` is relative to the node's root; `file` is its source inside the overlay.

    `content` is bytes, template source (`template`) or, for a symlink, its target. `target`, if given, makes the path.
    """

    overlay: str
    path: str
    kind: Kind
    mode: int
    owner: tuple[int, int]
    when: When
    scope: Scope
    file: str
    line: int = 0
    content: bytes = b""
    template: bool = False
    condition: Expression | None = None
    for_each: str | None = None
    target: Expression | None = None

    @property
    def place(self) -> str:
        """For messages: the source file, with its line when that is known."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Composition:
    """All entries in order, later ones to win, and the fragments each overlay's templates may include."""

    entries: tuple[Entry, ...]
    includes: tuple[tuple[str, str, bytes], ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that can change a result: sources, conditions, owners, modes, order."""
        return hashlib.sha256(repr((self.entries, self.includes)).encode()).hexdigest()

    def of_scope(self, scope: Scope) -> "Composition":
        """Only the entries of one scope."""
        return Composition(tuple(entry for entry in self.entries if entry.scope == scope), self.includes)


def known_overlays(layers: Sequence[Path]) -> tuple[str, ...]:
    """The names of all overlays in these folders of overlays, sorted."""
    found = {item.name for layer in layers if layer.is_dir() for item in layer.iterdir() if item.is_dir()}
    return tuple(sorted(name for name in found if is_overlay_name(name)))


def compose(names: Sequence[str], layers: Sequence[Path]) -> Composition:
    """Read the overlays `names`, each from every folder of `layers` (earlier first) that has it.

    Raises NotFoundError for an overlay that no layer has and OverlayError for one that cannot be read.
    """
    if len(set(names)) != len(names):
        raise RequestError(f"an overlay is listed twice: {', '.join(names)}")
    entries: list[Entry] = []
    includes: list[tuple[str, str, bytes]] = []
    for name in names:
        sources = _sources(name, layers)
        entries += _Overlay(name, sources).entries()
        fragments = {file: content for source in sources for file, content in source.includes}
        includes += [(name, file, content) for file, content in sorted(fragments.items())]
    return Composition(tuple(entries), tuple(includes))


def _sources(name: str, layers: Sequence[Path]) -> list[Source]:
    folders = [layer / name for layer in layers if is_overlay_name(name) and (layer / name).is_dir()]
    if not folders:
        known = ", ".join(known_overlays(layers)) or "none"
        raise NotFoundError(f"overlay {name!r} does not exist", hint=f"known overlays: {known}")
    return [read_source(folder, name) for folder in folders]


class _Overlay:
    """One overlay with its layers merged."""

    def __init__(self, name: str, sources: Sequence[Source]) -> None:
        self.name = name
        self.files: dict[str, SourceFile] = {}
        self.metas: dict[str, PathMeta] = {}
        self.deleted: dict[str, int] = {}
        self.scope: Scope = "node"
        for source in sources:
            self._lay(source)

    def _lay(self, source: Source) -> None:
        """One more layer over what is there: its deletions first, then its files, then what it says of paths."""
        for path, line in source.meta.delete:
            self._delete(path)
            self.deleted[path] = line
        for found in source.files:
            self.files[found.path] = found
            self.deleted.pop(found.path, None)
            if found.path in self.metas:
                self.metas[found.path] = replace(self.metas[found.path], symlink=None)
        for path, meta in source.meta.files:
            self.metas[path] = self.metas.get(path, PathMeta()).under(meta)
        self.scope = source.meta.scope or self.scope

    def _delete(self, path: str) -> None:
        for things in (self.files, self.metas):
            for below in [other for other in things if other == path or other.startswith(f"{path}/")]:
                things.pop(below)

    def entries(self) -> list[Entry]:
        self._refuse_unknown_paths()
        laid = [self._entry(path) for path in sorted(self.files.keys() | self.metas.keys())]
        return [*self._whiteouts(), *(entry for entry in laid if entry)]

    def _whiteouts(self) -> list[Entry]:
        return [
            Entry(self.name, path, "whiteout", WHITEOUT_MODE, (0, 0), "both", self.scope, META, line)
            for path, line in sorted(self.deleted.items())
        ]

    def _refuse_unknown_paths(self) -> None:
        for path, meta in self.metas.items():
            if path not in self.files and not meta.symlink and not meta.directory:
                raise OverlayError(
                    f"/{path} is not under files/",
                    overlay=self.name,
                    file=META,
                    line=meta.line,
                    hint="a path without a file needs `symlink` or `directory: true`",
                )

    def _entry(self, path: str) -> Entry | None:
        found = self.files.get(path)
        meta = self.metas.get(path)
        kind = _kind(found, meta)
        if kind == "directory" and meta is None:
            self._refuse_empty(found)
            return None
        return self._filled(path, kind, found, meta or PathMeta())

    def _filled(self, path: str, kind: Kind, found: SourceFile | None, meta: PathMeta) -> Entry:
        return Entry(
            overlay=self.name,
            path=path,
            kind=kind,
            mode=_mode(kind, found, meta),
            owner=meta.owner or (0, 0),
            when=meta.when or "both",
            scope=meta.scope or self.scope,
            file=META if meta.symlink or not found else found.file,
            line=meta.symlink.line if meta.symlink else (0 if found else meta.line),
            content=meta.symlink.text.encode() if meta.symlink else (found.content if found else b""),
            template=bool(meta.symlink) or bool(found and found.template),
            condition=meta.condition,
            for_each=meta.for_each,
            target=meta.target,
        )

    def _refuse_empty(self, found: SourceFile | None) -> None:
        """Laying a folder sets its mode, which would spoil /tmp or /root, so only declared ones are laid."""
        if found and found.empty:
            raise OverlayError(
                "an empty folder would be lost",
                overlay=self.name,
                file=found.file,
                hint=f"declare it in meta.yaml: /{found.path}: {{directory: true, mode: '0755'}}",
            )


def _kind(found: SourceFile | None, meta: PathMeta | None) -> Kind:
    if meta and meta.symlink:
        return "symlink"
    if found:
        return found.kind
    return "directory"


def _mode(kind: Kind, found: SourceFile | None, meta: PathMeta) -> int:
    if kind == "symlink":
        return 0o777
    if meta.mode is not None:
        return meta.mode
    return found.mode if found else DIRECTORY_MODE
