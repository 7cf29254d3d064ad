"""Sources and context into what is laid on one node. The work happens in worker processes that can be killed.

A worker serves many requests, one at a time; a request that passes a limit costs its worker its life, and the next
request gets a new one. What comes back is not trusted: numbers, paths and sizes are checked here again.
"""

import json
import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from muster.model.errors import MusterError
from muster.overlays.compose import Composition, Entry, Kind
from muster.overlays.errors import OverlayError
from muster.overlays.meta import Expression, Scope, When
from muster.overlays.paths import PathError, parents, printable, relative
from muster.overlays.worker_process import WorkerDiedError, WorkerProcess

WALL_SECONDS = 10.0
WORKERS = 2


@dataclass(frozen=True)
class Laid:
    """One thing in a result. `path` is below the node's root, `link` a symlink's target, `source` for people."""

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    when: When
    scope: Scope
    overlay: str
    source: str
    content: bytes = b""
    link: str = ""


class Renderer:
    """A pool of workers, started when first needed. Any thread may ask; `close` ends the workers."""

    def __init__(self, *, workers: int = WORKERS, wall_seconds: float = WALL_SECONDS) -> None:
        self._wall_seconds = wall_seconds
        self._slots = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._closed = False

    def render(self, composition: Composition, context: Mapping[str, object]) -> tuple[Laid, ...]:
        """What these sources give with this context, sorted by path. Raises OverlayError."""
        node = node_name(context)
        templates = _Templates(composition, node)
        request = json.dumps({**templates.request(), "context": context}, allow_nan=False).encode()
        with self._slots:
            answer = self._ask(request, composition.entries, node)
        return _checked(answer, composition.entries, node)

    def close(self) -> None:
        """End all idle workers; a worker still at work ends with its request."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _ask(self, request: bytes, entries: Sequence[Entry], node: str) -> list[list[Any]]:
        """One request to one worker; idle workers that died meanwhile are passed over."""
        while True:
            worker = self._take()
            try:
                answer = worker.ask(request, self._wall_seconds)
            except WorkerDiedError as died:
                if died.at is not None:
                    raise _blame(entries, died.at, died.reason, node) from died
                if worker.served:
                    continue
                raise MusterError(
                    "the render worker does not start", hint=f"try: {shlex.join(WorkerProcess.ARGV)}"
                ) from died
            fault = answer.get("fault")
            if fault is None:
                self._give_back(worker)
                return cast(list[list[Any]], answer["laid"])
            if fault["fatal"]:
                worker.end()
            else:
                self._give_back(worker)
            raise _fault(fault, node)

    def _take(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise MusterError("the renderer is closed")
            if self._idle:
                return self._idle.pop()
        return WorkerProcess()

    def _give_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.end()


class _Templates:
    """What a worker needs to know of the sources: text, and only for entries that are decided or rendered there."""

    def __init__(self, composition: Composition, node: str) -> None:
        self._composition = composition
        self._node = node

    def request(self) -> dict[str, object]:
        includes: dict[str, dict[str, str]] = {}
        for overlay, file, content in self._composition.includes:
            includes.setdefault(overlay, {})[file] = self._text(content, overlay, file)
        return {"includes": includes, "entries": [self._entry(entry) for entry in self._composition.entries]}

    def _entry(self, entry: Entry) -> dict[str, object]:
        said: dict[str, object] = {"overlay": entry.overlay, "file": entry.file, "path": f"/{entry.path}"}
        if entry.line:
            said["line"] = entry.line
        if entry.condition:
            said["condition"] = _expression(entry.condition)
        if entry.target:
            said["target"] = _expression(entry.target)
        if entry.for_each:
            said["for_each"] = entry.for_each
        if entry.template:
            said["template"] = self._text(entry.content, entry.overlay, entry.file)
        return said

    def _text(self, content: bytes, overlay: str, file: str) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise OverlayError("is not UTF-8", overlay=overlay, file=file, line=line, node=self._node) from error


def _expression(expression: Expression) -> dict[str, object]:
    return {"text": expression.text, "file": expression.file, "line": expression.line}


def _checked(answer: list[list[Any]], entries: Sequence[Entry], node: str) -> tuple[Laid, ...]:
    """Results from a worker as facts: every path may be laid, none lies below a file or a deletion."""
    laid: dict[str, Laid] = {}
    for number, path, text in answer:
        if not isinstance(number, int) or not 0 <= number < len(entries):
            raise MusterError("the render worker answered nonsense")
        result = _laid(entries[number], str(path), text, node)
        laid[result.path] = result
    refuse_buried(laid, node)
    return tuple(laid[path] for path in sorted(laid))


def refuse_buried(laid: Mapping[str, Laid], node: str) -> None:
    """OverlayError for anything that is laid below a file, a symlink or a deletion."""
    for path, result in laid.items():
        for parent in parents(path):
            above = laid.get(parent)
            if above and above.kind != "directory":
                verb = "deletes" if above.kind == "whiteout" else "lays a file or symlink at"
                message = f"/{path} cannot be laid: overlay {above.overlay} ({above.source}) {verb} /{parent}"
                raise OverlayError(message, overlay=result.overlay, file=result.source, node=node)


def _laid(entry: Entry, path: str, text: object, node: str) -> Laid:
    content = text.encode() if isinstance(text, str) else entry.content
    link = ""
    try:
        below_root = relative(path)
        if entry.kind == "symlink":
            link, content = _link(content), b""
    except (PathError, UnicodeDecodeError) as error:
        raise OverlayError(str(error), overlay=entry.overlay, file=entry.file, line=entry.line, node=node) from error
    return Laid(
        path=below_root,
        kind=entry.kind,
        mode=entry.mode,
        uid=entry.owner[0],
        gid=entry.owner[1],
        when=entry.when,
        scope=entry.scope,
        overlay=entry.overlay,
        source=entry.place,
        content=content,
        link=link,
    )


def _link(content: bytes) -> str:
    link = content.decode()
    if not link or not printable(link) or len(content) > 4000:
        raise PathError(f"the symlink's target {link[:80]!r} is empty, too long or has control characters")
    return link


def node_name(context: Mapping[str, object]) -> str:
    """Whose context it is, for messages; empty for what is rendered for the whole cluster."""
    node = context.get("node")
    return str(node.get("name", "?")) if isinstance(node, Mapping) else ""


def _fault(fault: Mapping[str, Any], node: str) -> OverlayError:
    return OverlayError(
        str(fault["message"]),
        overlay=str(fault["overlay"]),
        file=str(fault["file"]),
        line=int(fault["line"]),
        node=node,
    )


def _blame(entries: Sequence[Entry], at: int, reason: str, node: str) -> OverlayError:
    entry = entries[at] if 0 <= at < len(entries) else entries[0]
    return OverlayError(reason, overlay=entry.overlay, file=entry.file, node=node)
