"""Reads the YAML (or JSON) files of a declaration: every scalar a string, and the line of every key remembered.

PyYAML's parser in C says what comes next, one event after another; building values of it here keeps lines, bounds
depth (its composer in C overflows the stack on deep nesting) and sees repeated keys, in one pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from muster.model.errors import Problem, RequestError, lines

LARGEST = 256 << 20
DEEPEST = 16
Spot = tuple[int, Any]
"""A line, and the spots of what is inside: by key of a map, by position in a list, None of a scalar."""


@dataclass(frozen=True)
class Origin:
    """Where a document was read from."""

    file: str
    spot: Spot

    def line(self, path: Iterable[str | int]) -> int:
        """The line of a field, or of the nearest thing around it that was written."""
        line, inside = self.spot
        for step in path:
            try:
                line, inside = inside[step]
            except (KeyError, IndexError, TypeError):
                break
        return line


@dataclass
class Declaration:
    """The documents of all files in their order, and where each comes from."""

    documents: list[dict[str, object]] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)

    def located(self, problem: Mapping[str, Any]) -> tuple[tuple[int, int], str]:
        """A problem that the controller found (model.errors.Problem as JSON): place, `FILE:LINE: FIELD: MESSAGE`."""
        number, path = problem["document"], tuple(problem["field"])
        found = Problem(problem["message"], problem["subject"], path)
        if number is None:
            return (len(self.origins), 0), str(found)
        origin = self.origins[number]
        line = origin.line(path)
        return (number, line), f"{origin.file}:{line}: {replace(found, subject='') if path else found}"


def read(files: Sequence[IO[bytes]]) -> Declaration:
    """Raises RequestError with everything in these files that is no document, each with file and line."""
    declaration, problems = Declaration(), []
    for file in files:
        reader = _Reader(file.name)
        reader.read(file.read(LARGEST + 1))
        problems += reader.problems
        declaration.documents += reader.documents
        declaration.origins += reader.origins
    if problems:
        raise RequestError(lines(problems))
    return declaration


class _BrokenError(Exception):
    """The rest of a file makes no sense."""


class _Frame:
    """A map or list that is being read; `key` is the one whose value comes next."""

    __slots__ = ("key", "line", "spots", "start", "value")

    def __init__(self, value: dict[str, object] | list[object], start: int) -> None:
        self.value = value
        self.spots: Any = {} if isinstance(value, dict) else []
        self.start = start
        self.key: str | None = None
        self.line = start


class _Reader:
    """One reading of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []
        self.documents: list[dict[str, object]] = []
        self.origins: list[Origin] = []

    def read(self, data: bytes) -> None:
        import yaml

        try:
            if len(data) > LARGEST:
                raise self._broken(1, f"larger than {LARGEST >> 20} MiB")
            for value, spot in self._values(yaml.parse(data.decode(), Loader=yaml.CSafeLoader)):
                self._take(value, spot)
        except UnicodeDecodeError as error:
            self._problem(data.count(b"\n", 0, error.start) + 1, f"is not UTF-8 ({error.reason})")
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self._problem(min(line, len(data.splitlines())), f"is not YAML: {error.problem}")
        except yaml.YAMLError as error:
            self._problem(1, f"is not YAML: {error}")
        except _BrokenError:
            pass

    def _take(self, value: object, spot: Spot) -> None:
        """A document, or a list of them as `muster export -o json` writes it; an empty one is none."""
        if isinstance(value, list):
            for each, place in zip(value, spot[1], strict=True):
                self._take_one(each, place)
        elif value != "":
            self._take_one(value, spot)

    def _take_one(self, value: object, spot: Spot) -> None:
        if isinstance(value, dict):
            self.documents.append(value)
            self.origins.append(Origin(self.file, spot))
        else:
            self._problem(spot[0], "a document is a map of `key: value` lines, with kind and name")

    def _values(self, events: Iterable[Any]) -> Iterator[tuple[object, Spot]]:
        """The values of all documents with their spots."""
        import yaml

        stack: list[_Frame] = []
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                self._refuse_reference(event, line)
                whole = self._add(stack, event.value, (line, None))
            elif isinstance(event, yaml.CollectionStartEvent):
                self._refuse_reference(event, line)
                stack.append(_Frame({} if isinstance(event, yaml.MappingStartEvent) else [], line))
                if len(stack) > DEEPEST:
                    raise self._broken(line, "nested too deeply")
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                frame = stack.pop()
                whole = self._add(stack, frame.value, (frame.start, frame.spots))
            elif isinstance(event, yaml.AliasEvent):
                raise self._broken(line, f"aliases (*{event.anchor}) are not used here: what is shared is a profile")
            else:
                continue
            if whole is not None:
                yield whole

    def _add(self, stack: list[_Frame], value: object, spot: Spot) -> tuple[object, Spot] | None:
        """Put a value where it belongs; returned when it is a whole document."""
        if not stack:
            return value, spot
        frame = stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
            frame.spots.append(spot)
        elif frame.key is not None:
            frame.value[frame.key] = value
            frame.spots[frame.key] = (frame.line, spot[1])
            frame.key = None
        elif isinstance(value, str):
            if value in frame.spots:
                self._problem(spot[0], f"{value}: this key is written twice, first in line {frame.spots[value][0]}")
            frame.key, frame.line = value, spot[0]
        else:
            raise self._broken(spot[0], "a key is one word")
        return None

    def _refuse_reference(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            raise self._broken(line, f"anchors (&{event.anchor}) are not used here: what is shared is a profile")
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._broken(line, f"YAML tags ({event.tag}) are not used here")

    def _broken(self, line: int, message: str) -> _BrokenError:
        self._problem(line, message)
        return _BrokenError()

    def _problem(self, line: int, message: str) -> None:
        self.problems.append(f"{self.file}:{line}: {message}")
