"""Strict YAML for recipes: every scalar a string, no aliases, tags or double keys, and the line of every key kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from muster.model.errors import RequestError

MAXIMUM = 256 * 1024
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}
Path = tuple[str | int, ...]


@dataclass
class Text:
    """A parsed text: `value` of str, list and dict only, and the line (from 1) on which each key or item stands."""

    file: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """`FILE:LINE` of a key, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"


def parse(data: bytes, file: str) -> Text:
    """Read one YAML document. RequestError names file and line of what it does not take."""
    if len(data) > MAXIMUM:
        raise RequestError(f"a recipe may have {MAXIMUM} bytes, this has {len(data)}", where=file)
    text = Text(file)
    try:
        for event in yaml.parse(data, Loader=yaml.CBaseLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise RequestError("anchors and aliases are not taken", where=f"{file}:{line}")
        root = yaml.compose(data, Loader=yaml.CBaseLoader)
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark.line if error.problem_mark else 0) + 1
        raise RequestError(f"not YAML: {error.problem}", where=f"{file}:{line}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"not YAML: {str(error).splitlines()[0]}", where=file) from error
    text.value = {} if root is None else _value(root, (), text)
    return text


def _value(node: yaml.Node, path: Path, text: Text) -> Any:
    where = f"{text.file}:{node.start_mark.line + 1}"
    text.lines.setdefault(path, node.start_mark.line + 1)
    if node.tag not in _PLAIN:
        raise RequestError(f"the tag {node.tag} is not taken", where=where)
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, path, text))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), text) for index, item in enumerate(node.value)]
    return node.value


def _pairs(node: yaml.MappingNode, path: Path, text: Text) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in node.value:
        where = f"{text.file}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise RequestError("a key must be a word", where=where)
        if key.value in seen:
            raise RequestError(f"the key {key.value!r} stands twice", where=where)
        seen.add(key.value)
        text.lines[(*path, key.value)] = key.start_mark.line + 1
        yield key.value, _value(value, (*path, key.value), text)
