"""The effective configuration of a node: defaults, its profiles in order, the node itself, with provenance.

Scalars: the later wins. Maps: merged by key, at any depth. Lists: appended without duplicates; `-entry` takes
an earlier entry out. Interfaces and names belong to the node alone and take no part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from muster.model.objects import Frozen, Node, Placement, Profile, SerialConsole, Settings
from muster.model.world import World

DEFAULTS = Settings(
    root="ram",
    upper_size="50%",
    tmp=Placement(on="root"),
    var=Placement(on="root"),
    overlays=("base",),
    timezone="UTC",
    serial_console=SerialConsole(),
)
DEFAULT_PROFILE = "default"


@dataclass(frozen=True)
class Value:
    """One value of the effective configuration and where it was set: `default`, `profile NAME`, `node NAME`."""

    key: str
    value: str | int
    source: str


@dataclass(frozen=True)
class Effective:
    """The merged settings of a node; `values` lists each of them with its source, sorted by key."""

    node: Node
    settings: Settings
    values: tuple[Value, ...]


def effective(world: World, node: Node) -> Effective:
    """Merge the node's layers. A listed profile that does not exist is NotFoundError."""
    merged: dict[str, object] = {}
    sources: dict[str, str] = {}
    for source, layer in _layers(world, node):
        for field in Settings.model_fields:
            if (value := getattr(layer, field)) is not None:
                merged[field] = _merge(field, merged.get(field), value, source, sources)
    settings = DEFAULTS.model_copy(update=merged)  # every value was validated in its own layer
    values = tuple(Value(key, text, sources[key]) for key, text in sorted(_flatten(settings)))
    return Effective(node, settings, values)


def labels(world: World) -> dict[str, Mapping[str, str]]:
    """The effective labels of every node, by its name and in that order; nothing else is merged for it."""
    shared: dict[tuple[str, ...], Mapping[str, str]] = {}
    merged: dict[str, Mapping[str, str]] = {}
    for node in world.all(Node):
        if (inherited := shared.get(node.profiles)) is None:
            layers = [layer for _, layer in _layers(world, node) if layer is not node]
            inherited = {key: text for layer in layers for key, text in (layer.labels or {}).items()}
            shared[node.profiles] = inherited
        merged[node.name] = {**inherited, **node.labels} if node.labels else inherited
    return merged


class Cascade:
    """Single effective values of many nodes of one world, without sources; what equal profiles give is merged once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._inherited: dict[tuple[str, ...], Settings] = {}

    def image(self, node: Node) -> str | None:
        """As `effective(world, node).settings.image`, with the same errors."""
        return node.image if node.image is not None else self._inherits(node).image

    def root(self, node: Node) -> str | None:
        """As `effective(world, node).settings.root`, with the same errors."""
        return node.root if node.root is not None else self._inherits(node).root

    def upper_size(self, node: Node) -> str | None:
        """As `effective(world, node).settings.upper_size`, with the same errors."""
        return node.upper_size if node.upper_size is not None else self._inherits(node).upper_size

    def labels(self, node: Node) -> Mapping[str, str]:
        """As `effective(world, node).settings.labels`, with the same errors."""
        return {**(self._inherits(node).labels or {}), **(node.labels or {})}

    def _inherits(self, node: Node) -> Settings:
        if (found := self._inherited.get(node.profiles)) is None:
            bare = Node(name=node.name, profiles=node.profiles)
            found = self._inherited[node.profiles] = effective(self.world, bare).settings
        return found


def _layers(world: World, node: Node) -> Iterator[tuple[str, Settings]]:
    yield "default", DEFAULTS
    if (default := world.find(Profile, DEFAULT_PROFILE)) is not None:
        yield f"profile {DEFAULT_PROFILE}", default
    for name in node.profiles:
        if name != DEFAULT_PROFILE:
            yield f"profile {name}", world.get(Profile, name)
    yield f"node {node.name}", node


def _merge(field: str, old: object, new: object, source: str, sources: dict[str, str]) -> object:
    if isinstance(new, tuple):
        return _merge_list(field, old if isinstance(old, tuple) else (), new, source, sources)
    if isinstance(new, dict):
        sources.update({f"{field}.{key}": source for key in new})
        return {**(old if isinstance(old, dict) else {}), **new}
    if isinstance(new, Frozen):
        return _merge_parts(field, old if isinstance(old, Frozen) else None, new, source, sources)
    sources[field] = source
    return new


def _merge_parts(field: str, old: Frozen | None, new: Frozen, source: str, sources: dict[str, str]) -> Frozen:
    given = {
        key: _merge(f"{field}.{key}", getattr(old, key, None), getattr(new, key), source, sources)
        for key in type(new).model_fields
        if key in new.model_fields_set or old is None
    }
    return old.model_copy(update=given) if old is not None else new


def _merge_list(
    field: str, old: tuple[str, ...], new: tuple[str, ...], source: str, sources: dict[str, str]
) -> tuple[str, ...]:
    result = list(old)
    for entry in new:
        if entry.startswith("-"):
            result = [kept for kept in result if kept != entry[1:]]
        elif entry not in result:
            result.append(entry)
            sources[f"{field}[{entry}]"] = source
    return tuple(result)


def _flatten(part: Frozen, prefix: str = "") -> Iterator[tuple[str, str | int]]:
    for field in type(part).model_fields:
        value, key = getattr(part, field), f"{prefix}{field}"
        if isinstance(value, tuple):
            yield from ((f"{key}[{entry}]", entry) for entry in value)
        elif isinstance(value, dict):
            yield from ((f"{key}.{name}", text) for name, text in value.items())
        elif isinstance(value, Frozen):
            yield from _flatten(value, f"{key}.")
        elif value is not None:
            yield key, value
