"""`meta.yaml` of an overlay: what the files themselves cannot say.

Read strictly: every scalar is a string typed here, an unknown or repeated key is an error with its line.

    scope: node                       # or cluster: rendered once for all nodes
    delete: [/etc/motd]               # files of the image that go
    files:
      /root/.ssh: {directory: true, mode: "0700"}
      /etc/hosts: {owner: "0:0", mode: "0644", when: both, condition: "cluster.nodes"}
      /etc/localtime: {symlink: "/usr/share/zoneinfo/{{ node.timezone }}"}
      /etc/net/interface.conf: {for_each: interfaces, target: "/etc/net/{{ interface.name }}.conf"}
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

import yaml

from muster.overlays.errors import OverlayError
from muster.overlays.paths import PathError, relative

META = "meta.yaml"
LARGEST = 256 << 10
DEEPEST = 16

When = Literal["boot", "runtime", "both"]
Scope = Literal["cluster", "node"]


@dataclass(frozen=True)
class Expression:
    """A piece of Jinja and the place it was read from, so that its errors can be found."""

    text: str
    file: str
    line: int


@dataclass(frozen=True)
class PathMeta:
    """What meta.yaml says of one path; None where it says nothing."""

    line: int = 0
    owner: tuple[int, int] | None = None
    mode: int | None = None
    when: When | None = None
    scope: Scope | None = None
    condition: Expression | None = None
    for_each: str | None = None
    target: Expression | None = None
    symlink: Expression | None = None
    directory: bool | None = None

    def under(self, later: "PathMeta") -> "PathMeta":
        """This, with what a later layer says laid over it key by key."""
        said = {field.name: value for field in fields(later) if (value := getattr(later, field.name)) is not None}
        return replace(self, **said)


@dataclass(frozen=True)
class Meta:
    """A whole meta.yaml; paths are relative to the node's root."""

    scope: Scope | None = None
    delete: tuple[tuple[str, int], ...] = ()
    files: tuple[tuple[str, PathMeta], ...] = ()


class _BadValueError(ValueError):
    """A value of meta.yaml that cannot be; the message says what would be right."""


def parse_meta(data: bytes, overlay: str) -> Meta:
    """Read the bytes of a meta.yaml. Raises OverlayError with file, line and key."""
    return _Parser(overlay).meta(data)


def _owner(text: str) -> tuple[int, int]:
    user, _, group = text.partition(":")
    return _number(user), _number(group or user)


def _number(text: str) -> int:
    if text == "root":
        return 0
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) >= 2**32 - 1:
        raise _BadValueError(f"{text!r} is not `root` or a number (names differ between images)")
    return int(text)


def _mode(text: str) -> int:
    if not re.fullmatch(r"[0-7]{3,5}", text) or int(text, 8) > 0o7777:
        raise _BadValueError(f"{text!r} is not an octal mode such as 0644")
    return int(text, 8)


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise _BadValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return parse


def _flag(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


_WHEN = _one_of("boot", "runtime", "both")
_SCOPE = _one_of("cluster", "node")
_VALUES: dict[str, Callable[[str], object]] = {
    "owner": _owner,
    "mode": _mode,
    "when": _WHEN,
    "scope": _SCOPE,
    "for_each": _one_of("interfaces"),
    "directory": _flag,
}
_EXPRESSIONS = ("condition", "target", "symlink")


class _Parser:
    """One reading of one file: the walk over YAML's nodes, which keep their lines."""

    def __init__(self, overlay: str) -> None:
        self.overlay = overlay

    def meta(self, data: bytes) -> Meta:
        root = self._load(data)
        if root is None:
            return Meta()
        scope: Scope | None = None
        delete: list[tuple[str, int]] = []
        files: list[tuple[str, PathMeta]] = []
        for key, _, value in self._mapping(root, ("scope", "delete", "files")):
            if key == "scope":
                scope = cast(Scope, self._value(_SCOPE, value, key))
            elif key == "delete":
                delete = [
                    (self._path(self._text(item, key), _line(item)), _line(item)) for item in self._list(value, key)
                ]
            else:
                files = [
                    (self._path(path, at), self._path_meta(node, at)) for path, at, node in self._mapping(value, ())
                ]
        return Meta(scope, tuple(delete), tuple(files))

    def _load(self, data: bytes) -> yaml.Node | None:
        if len(data) > LARGEST:
            raise self._error(f"larger than {LARGEST} bytes", 0)
        try:
            text = data.decode()
            self._check_depth(text)
            return yaml.compose(text, Loader=yaml.CSafeLoader)
        except UnicodeDecodeError as error:
            raise self._error(f"is not UTF-8 ({error.reason})", data.count(b"\n", 0, error.start) + 1) from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._error(f"is not YAML: {error.problem}", line) from error
        except yaml.YAMLError as error:
            raise self._error(f"is not YAML: {error}", 0) from error

    def _check_depth(self, text: str) -> None:
        """PyYAML's C composer overflows the stack on deep nesting (seen at 30,000 brackets): count first."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise self._error("aliases are not used here", _at(event.start_mark))
            if depth > DEEPEST:
                raise self._error("nested too deeply", _at(event.start_mark))

    def _path_meta(self, node: yaml.Node, line: int) -> PathMeta:
        said: dict[str, Any] = {}
        for key, at, value in self._mapping(node, (*_VALUES, *_EXPRESSIONS)):
            if key in _VALUES:
                said[key] = self._value(_VALUES[key], value, key)
            else:
                said[key] = Expression(self._text(value, key), META, at)
        meta = replace(PathMeta(line=line), **said)
        if meta.for_each and not meta.target:
            raise self._error("key for_each: needs a target, one name for each", line)
        if meta.symlink and meta.directory:
            raise self._error("keys symlink and directory exclude each other", line)
        return meta

    def _mapping(self, node: yaml.Node, known: tuple[str, ...]) -> Iterator[tuple[str, int, yaml.Node]]:
        """Key, line and value of each pair; no `known` keys means any."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error("expected a mapping `key: value`", _line(node))
        seen: set[str] = set()
        for key_node, value in node.value:
            key = self._text(key_node, "key")
            if known and key not in known:
                raise self._error(f"unknown key {key!r}", _line(key_node), hint=f"known keys: {', '.join(known)}")
            if key in seen:
                raise self._error(f"key {key!r} is written twice", _line(key_node))
            seen.add(key)
            yield key, _line(key_node), value

    def _list(self, node: yaml.Node, key: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(f"key {key}: expected a list", _line(node))
        return cast(list[yaml.Node], node.value)

    def _text(self, node: yaml.Node, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            raise self._error(f"key {key}: expected text", _line(node))
        return str(node.value)

    def _value(self, parse: Callable[[str], object], node: yaml.Node, key: str) -> object:
        try:
            return parse(self._text(node, key))
        except _BadValueError as error:
            raise self._error(f"key {key}: {error}", _line(node)) from error

    def _path(self, text: str, line: int) -> str:
        try:
            return relative(text)
        except PathError as error:
            raise self._error(f"path {error}", line) from error

    def _error(self, message: str, line: int, *, hint: str = "") -> OverlayError:
        return OverlayError(message, overlay=self.overlay, file=META, line=line, hint=hint)


def _line(node: yaml.Node) -> int:
    return _at(node.start_mark)


def _at(mark: Any) -> int:
    return int(mark.line) + 1
