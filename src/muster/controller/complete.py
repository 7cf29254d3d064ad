"""What could follow what somebody typed so far: names, groups, settings and their values, from the live world.

Of very many names only beginnings are told, each longer than what was typed, so that a shell's common beginning
stays true and nobody is shown ten thousand names.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from muster.controller import node_views
from muster.controller.context import Context
from muster.model import noderange
from muster.model.images import LIVE
from muster.model.objects import KINDS, Frozen, Image, Interface, Node
from muster.model.world import World

MOST = 200
_TERM = re.compile(r"(.*[,!&^(])?(.*)", re.DOTALL)
_HIDDEN = ("kind", "name")


def words(context: Context, what: str, kind: str, typed: str) -> list[str]:
    """Words that begin with `typed`; `what` is range, name, reference or setting, `kind` the kind of object.

    A word that ends in `=`, `.` or `@`, or is only the beginning of names, is to be followed by more.
    """
    match what:
        case "range" if kind == "node":
            return _range(context, typed)
        case "reference":
            return _bounded(_references(context.world), typed)
        case "setting" if kind in KINDS:
            return _setting(context.world, kind, typed)
        case "name" | "range":
            return _bounded(_names(context.world, kind), typed)
    return []


def _names(world: World, kind: str) -> Iterator[str]:
    if kind == "machine":
        return (name[:8] for of, name in world.objects if of == kind)
    return (name for of, name in world.objects if of == kind)


def _range(context: Context, typed: str) -> list[str]:
    """The last term of a range; what stands before it stays."""
    found = _TERM.fullmatch(typed)
    head, term = (found[1] or "", found[2]) if found else ("", typed)
    if term.startswith("@"):
        groups = noderange.groups(context.world, node_views.states(context))
        return [head + word for word in _bounded((f"@{group}" for group in groups), term)]
    names = _bounded(_names(context.world, "node"), term)
    return [head + word for word in ([*names, "@"] if not term else names)]


def _references(world: World) -> Iterator[str]:
    """Images, and their tags."""
    for image in world.all(Image):
        yield image.name
        yield from (f"{image.name}:{tag}" for tag in image.tags)


def _setting(world: World, kind: str, typed: str) -> list[str]:
    key, equals, value = typed.partition("=")
    if not equals:
        return _bounded(_keys(world, kind, key), typed)
    head, comma, last = value.rpartition(",")
    return [f"{key}={head}{comma}{word}" for word in _bounded(_values(world, kind, key), last)]


def _keys(world: World, kind: str, typed: str) -> Iterator[str]:
    """Top-level settings as `image=` or `power.`, and what is inside of the one whose dot was typed."""
    outer = typed.partition(".")[0]
    for name, field in KINDS[kind].model_fields.items():
        if name in _HIDDEN:
            continue
        inner = [] if name == "machine" else list(_inside(world, name, field))
        if inner and "." in typed and name == outer:
            yield from (f"{name}.{each}" for each in inner)
        else:
            yield f"{name}." if inner else f"{name}="


def _inside(world: World, name: str, field: FieldInfo) -> Iterator[str]:
    if name == "interfaces":
        present = {i.name for node in world.all(Node) for i in node.interfaces} or {"eth0"}
        yield from (f"{each}.{part}=" for each in sorted(present) for part in Interface.model_fields if part != "name")
    elif name == "labels":
        yield from (f"{key}=" for key in sorted({key for node in world.all(Node) for key in node.labels or {}}))
    else:
        for model in _parts(field.annotation):
            for part, inner in model.model_fields.items():
                deeper = list(_inside(world, part, inner))
                yield from (f"{part}.{each}" for each in deeper) if deeper else (f"{part}=",)


def _parts(annotation: object) -> Iterator[type[Frozen]]:
    """The model in `Model | None`."""
    for each in get_args(annotation):
        if isinstance(each, type) and issubclass(each, Frozen):
            yield each


def _values(world: World, kind: str, key: str) -> Collection[str]:
    if key in ("image", "discovery_image"):
        trees = [f"{image.name}{LIVE}" for image in world.all(Image) if image.live and key == "image"]
        return [*_references(world), *trees]
    if key == "profiles":
        return list(_names(world, "profile"))
    field, _, part = key.rpartition(".")
    if field.startswith("interfaces.") and part == "dhcp":
        return ["true", "false"]
    if (outer := KINDS[kind].model_fields.get(field or part)) is None:
        return []
    found = next((m.model_fields.get(part) for m in _parts(outer.annotation)), None) if field else outer
    return list(_literals(found.annotation)) if found is not None else []


def _literals(annotation: object) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(value) for value in get_args(annotation))
    else:
        for each in get_args(annotation):
            yield from _literals(each)


def _bounded(candidates: Iterable[str], typed: str) -> list[str]:
    """The candidates that begin so; when they are too many their shortest beginnings that are few enough."""
    fitting = sorted({word for word in candidates if word.startswith(typed)})
    if len(fitting) <= MOST:
        return fitting
    longest = max(map(len, fitting))
    for size in range(longest, len(typed), -1):
        beginnings = {word[:size] for word in fitting}
        if len(beginnings) <= MOST:
            return sorted(beginnings)
    return [typed]
