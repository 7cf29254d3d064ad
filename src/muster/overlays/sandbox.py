"""What runs inside a render worker: Jinja2's immutable sandbox over one request. It opens nothing.

A request: `{"includes": {OVERLAY: {NAME: TEXT}}, "entries": [ENTRY, ...], "context": {...}}`, where an ENTRY has
`overlay`, `file`, `path` and may have `condition` and `target` (`{"text", "file", "line"}`), `for_each`, and `template`
(text; absent for what is laid as is). The answer: `[[entry number, path, text or null], ...]`, of each path the last
whose condition is true. Paths made by a `target` come back as they were written; the requester checks them.
"""

import re
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import FrameType, TracebackType
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_OUTPUT = 8 << 20
MOST_TOTAL = 16 << 20
MOST_PATHS = 20_000
_GLOBALS = ("range", "dict", "namespace", "joiner", "cycler")

Request = Mapping[str, Any]


class OverrunError(BaseException):
    """A limit was passed. Not an Exception, so that no filter of a template swallows it."""


@dataclass
class FaultError(Exception):
    """What the requester is told: which overlay, file and line, and why. `fatal`: the worker must not go on."""

    overlay: str
    file: str
    line: int
    message: str
    fatal: bool = False


class Watch:
    """Around every piece of foreign code: whatever it raises becomes a FaultError with file and line."""

    def __init__(self, overlay: str, file: str, line: int = 0) -> None:
        self.overlay = overlay
        self.file = file
        self.line = line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None or isinstance(error, FaultError | SystemExit):
            return
        file, line = self._place(error)
        fatal = isinstance(error, OverrunError | MemoryError)
        raise FaultError(self.overlay, file, line, _explain(error), fatal) from None

    def _place(self, error: BaseException) -> tuple[str, int]:
        """File and line: of the syntax error, else of the innermost template frame, else what we were given."""
        if isinstance(error, TemplateSyntaxError):
            return self._own(error.filename or error.name or self.file, error.lineno)
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            if frame.f_code.co_filename.startswith(_MARK):
                return self._own(frame.f_code.co_filename, _template_line(frame, line))
        return self.file, self.line

    def _own(self, name: str, line: int) -> tuple[str, int]:
        """Expressions of meta.yaml are compiled without a name; their line is the one they stand on."""
        if not name.startswith(_MARK):
            return self.file, self.line or line
        return name.removeprefix(_MARK), line


@dataclass
class Job:
    """One request on its way: who has won each path so far, and how much may still be written."""

    request: Request
    begin: Callable[[int], None]
    left: int = MOST_TOTAL
    winners: dict[str, tuple[int, Mapping[str, object]]] = field(default_factory=dict)

    def run(self) -> list[tuple[int, str, str | None]]:
        """Decide conditions and names, then render the winners only. Raises FaultError."""
        for number, entry in enumerate(self.request["entries"]):
            if entry.get("condition") or entry.get("target"):
                self.begin(number)
            for path, variables in self._placed(entry):
                self._win(path, number, variables)
        return [self._rendered(path, *winner) for path, winner in sorted(self.winners.items())]

    def _win(self, path: str, number: int, variables: Mapping[str, object]) -> None:
        entry = self.request["entries"][number]
        if path in self.winners and self.winners[path][0] == number:
            raise FaultError(entry["overlay"], entry["file"], 0, f"two results have the same name {path!r}")
        if len(self.winners) >= MOST_PATHS:
            raise FaultError(entry["overlay"], entry["file"], 0, f"more than {MOST_PATHS} files in the result")
        self.winners[path] = (number, variables)

    def _placed(self, entry: Request) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Each path this entry makes, with the variables its template sees."""
        for variables in self._each(entry):
            condition, target = entry.get("condition"), entry.get("target")
            if condition and not self._holds(entry, condition, variables):
                continue
            yield (self._named(entry, target, variables) if target else entry["path"]), variables

    def _named(self, entry: Request, target: Mapping[str, Any], variables: Mapping[str, object]) -> str:
        with Watch(entry["overlay"], target["file"], target["line"]):
            return "".join(self._template(entry, target["text"]).render(variables))

    def _each(self, entry: Request) -> list[Mapping[str, object]]:
        context = self.request["context"]
        if entry.get("for_each") != "interfaces":
            return [context]
        with Watch(entry["overlay"], entry["file"]):
            return [{**context, "interface": interface} for interface in context["node"]["interfaces"]]

    def _holds(self, entry: Request, condition: Mapping[str, Any], variables: Mapping[str, object]) -> bool:
        with Watch(entry["overlay"], condition["file"], condition["line"]):
            compiled = _compiled(self._environment(entry), condition["text"])
            return bool(compiled(**variables))

    def _rendered(self, path: str, number: int, variables: Mapping[str, object]) -> tuple[int, str, str | None]:
        entry = self.request["entries"][number]
        if entry.get("template") is None:
            return number, path, None
        self.begin(number)
        with Watch(entry["overlay"], entry["file"], entry.get("line", 0)):
            return number, path, self._bounded(self._template(entry, entry["template"]).generate(variables))

    def _bounded(self, chunks: Generator[str, None, None]) -> str:
        kept: list[str] = []
        room = min(MOST_OUTPUT, self.left)
        for chunk in chunks:
            room -= len(chunk.encode())
            if room < 0:
                chunks.throw(OverrunError(f"writes more than {MOST_OUTPUT >> 20} MiB"))
            kept.append(chunk)
        self.left = self.left - min(MOST_OUTPUT, self.left) + room
        return "".join(kept)

    def _environment(self, entry: Request) -> "_Environment":
        return _environment(tuple(sorted(self.request["includes"].get(entry["overlay"], {}).items())))

    def _template(self, entry: Request, text: str) -> Any:
        return _template(self._environment(entry), entry["file"], text)


_MARK = "overlay:"


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 for one overlay: it may include that overlay's fragments, and nothing else exists."""

    def __init__(self, includes: tuple[tuple[str, str], ...]) -> None:
        known = dict(includes)
        super().__init__(
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            loader=FunctionLoader(lambda name: (known[name], _MARK + name, None) if name in known else None),
        )
        self.globals = {name: self.globals[name] for name in _GLOBALS}


@lru_cache(maxsize=64)
def _environment(includes: tuple[tuple[str, str], ...]) -> _Environment:
    return _Environment(includes)


@lru_cache(maxsize=1024)
def _template(environment: _Environment, file: str, text: str) -> Any:
    code = environment.compile(text, name=file, filename=_MARK + file)
    return environment.template_class.from_code(environment, code, environment.make_globals(None), None)


@lru_cache(maxsize=1024)
def _compiled(environment: _Environment, text: str) -> Callable[..., object]:
    return environment.compile_expression(text, undefined_to_none=False)


def _template_line(frame: FrameType, line: int) -> int:
    """Jinja2 has put template lines into the frames of ordinary errors, not into those of an OverrunError."""
    template = frame.f_globals.get("__jinja_template__")
    return int(template.get_corresponding_lineno(line)) if template else line


def _explain(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "takes too much memory"
    if isinstance(error, RecursionError):
        return "calls itself without end"
    if isinstance(error, UnicodeEncodeError):
        return "writes characters that are not UTF-8"
    text = re.sub(r"\s+", " ", str(error)).strip()[:500]
    return text.replace(_MARK, "") or type(error).__name__
