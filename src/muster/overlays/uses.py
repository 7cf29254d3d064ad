"""What the templates of some overlays look at, so that what none of them looks at is no reason to expect other bytes.

Found in their text without running them, and when in doubt it is everything: a name that is followed by anything but
`.FIELD`, also where it may be plain text or mean something else.
"""

import re
from collections.abc import Iterator, Mapping

from muster.overlays.compose import Composition

WHOLE = ""
_NAME = re.compile(r"(?<![\w.])(node|cluster|image)\b(?:\s*\.\s*([A-Za-z_]\w*))?")
_OPENING = re.compile(r"(?=\{\{|\{%)")
_CODE = re.compile(r"(?P<code>.*(\}\}|%\}))(?P<text>[^'\"]*)(?P<rest>.*)", re.DOTALL)

Uses = Mapping[str, frozenset[str]]
"""Of each name that is looked at the fields, WHOLE for more than single fields."""


def uses(composition: Composition) -> Uses:
    """Which fields of `node`, `cluster` and `image` its conditions, names and contents can depend on."""
    found: dict[str, set[str]] = {}
    for text in _texts(composition):
        for name, field in _NAME.findall(text):
            found.setdefault(name, set()).add(field)
    if any(entry.for_each for entry in composition.entries):
        found.setdefault("node", set()).add("interfaces")
    return {name: frozenset(fields) for name, fields in found.items()}


def narrowed(context: Mapping[str, object], used: Uses) -> dict[str, object]:
    """The context without what is not looked at. A field that is none (`image.items()`) may be anything: all stays."""
    return {name: _fields(value, used.get(name, frozenset())) for name, value in context.items()}


def _fields(value: object, wanted: frozenset[str]) -> object:
    if not isinstance(value, Mapping) or not wanted <= value.keys():
        return value
    return {field: value[field] for field in sorted(wanted)}


def _texts(composition: Composition) -> Iterator[str]:
    for entry in composition.entries:
        if entry.template:
            yield from _code(entry.content.decode(errors="replace"))
        if entry.target:
            yield from _code(entry.target.text)
        if entry.condition:
            yield entry.condition.text
    for _, _, content in composition.includes:
        yield from _code(content.decode(errors="replace"))


def _code(template: str) -> Iterator[str]:
    """What may be code of a template: all but what lies between a closing and the next opening delimiter.

    Either may be in a string, but behind that there is a quote: from the first quote on it counts as code.
    """
    for part in _OPENING.split(template)[1:]:
        found = _CODE.fullmatch(part)
        yield from (found["code"], found["rest"]) if found else (part,)
