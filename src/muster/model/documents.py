"""Documents from outside (YAML, JSON, `key=value` words) into typed objects, and back; errors name the field."""

from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from muster.model.errors import Problem, RequestError
from muster.model.objects import DECLARED, KINDS, Interface, Node, Object

LIST_SEPARATORS = {"authorized_keys": "\n", "kernel_arguments": " "}
"""How a list is written in one word; a comma unless said here."""
Document = dict[str, object]


def parse(document: Mapping[str, object], where: str = "") -> Object:
    """One object from a document. Raises RequestError that names every bad field."""
    item, problems = read(document)
    if item is None:
        single = problems[0]
        text = "; ".join(f"{p.key or single.subject or 'kind'}: {p.message}" for p in problems)
        raise RequestError(text, where=where or single.subject, problems=problems)
    return item


def read(document: Mapping[str, object], number: int | None = None) -> tuple[Object | None, list[Problem]]:
    """One object, or all that is wrong with document `number` of a request."""
    kind, name = document.get("kind"), document.get("name")
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(DECLARED)
        if "kind" in document:
            return None, [Problem(f"{kind!r} is none of {known}", field=("kind",), document=number)]
        return None, [Problem(f"kind is one of {known}, and missing", document=number)]
    subject = f"{kind} {name}" if isinstance(name, str) and name.isprintable() else kind
    try:
        return KINDS[kind].model_validate(document), []
    except ValidationError as error:
        return None, [Problem(_reason(e), subject, _field(e["loc"]), number) for e in error.errors(include_url=False)]


def _field(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(step for step in loc if step != "[key]")


def _reason(error: ErrorDetails) -> str:
    """pydantic's words, except where a person who never heard of it would wonder."""
    if "password" in error["loc"]:
        return "a secret is named here, never written: {secret: NAME}"
    given = _shown(error["input"])
    match error["type"]:
        case "extra_forbidden":
            return "there is no such key"
        case "missing":
            return "is missing"
        case "string_pattern_mismatch":
            return f"{given} is not in its form: {error['ctx']['pattern']}"
        case "literal_error":
            return f"{given} is not {error['ctx']['expected']}"
        case "string_type" | "tuple_type" | "dict_type" | "model_type" | "model_attributes_type":
            return f"{_SHAPES[error['type']]} is wanted here, not {given}"
    return error["msg"].removeprefix("Value error, ")


_SHAPES = {
    "string_type": "one word or text",
    "tuple_type": "a list",
    "dict_type": "a map of `key: value`",
    "model_type": "a map of `key: value`",
    "model_attributes_type": "a map of `key: value`",
}


def _shown(given: object, most: int = 100) -> str:
    """What was given, on one line of bounded length."""
    if isinstance(given, list | dict):
        return "a list" if isinstance(given, list) else "a map"
    text = repr(given)
    return text if len(text) <= most else f"{text[:most]}..."


def document(item: Object) -> Document:
    """The fields that were set, in the model's order, as plain JSON-able values."""
    plain = item.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    return {"kind": item.kind, "name": item.name} | {k: v for k, v in plain.items() if v not in ([], {})}


def made(kind: str, name: str, assignments: Mapping[str, str]) -> Object:
    """A new object of a declared kind from `key=value` words. Raises RequestError."""
    plain: Document = {"kind": kind, "name": name}
    for key, value in assignments.items():
        _assign(plain, key, value, KINDS[kind])
    return parse(plain, f"{kind} {name}")


def assign(item: Object, assignments: Mapping[str, str]) -> Object:
    """The object with `key=value` words laid over it; an empty value unsets, `a.b=` reaches into maps.

    Interfaces are reached by name (`interfaces.eth0.mac=...`). Raises RequestError.
    """
    plain = document(item)
    for key, value in assignments.items():
        _assign(plain, key, value, type(item))
    return parse(plain, f"{plain['kind']} {plain['name']}")


def unknown_keys(kind: str, keys: Collection[str]) -> list[Problem]:
    """What `assign` would say of each of these keys, whatever their values are."""
    problems = []
    for key in sorted(keys):
        try:
            _assign({}, key, "x", KINDS[kind])
        except RequestError as error:
            problems.append(Problem(error.message, field=(key,)))
    return problems


def _assign(plain: Document, key: str, value: str, model: type[BaseModel]) -> None:
    field, _, rest = key.partition(".")
    if field in ("kind", "name") or field not in model.model_fields:
        known = ", ".join(k for k in model.model_fields if k not in ("kind", "name"))
        raise RequestError(f"there is no setting {key!r}", hint=f"the settings are {known}")
    if field == "interfaces":
        _assign_interface(plain, key, rest, value)
    elif rest:
        _assign_part(plain, field, [rest] if _is(model, field, "dict[") else rest.split("."), value)
    elif not value:
        plain.pop(field, None)
    else:
        plain[field] = _split(field, value) if _is(model, field, "tuple[") else value


def _assign_part(plain: Document, field: str, parts: Sequence[str], value: str) -> None:
    """Reach into a map of its own fields; one that is left empty goes."""
    if not parts:
        if value:
            plain[field] = value
        else:
            plain.pop(field, None)
        return
    inner = plain.setdefault(field, {})
    if not isinstance(inner, dict):
        raise RequestError(f"{field} has no parts: {'.'.join((field, *parts))!r}")
    _assign_part(inner, parts[0], parts[1:], value)
    if not inner:
        del plain[field]


def _assign_interface(plain: Document, key: str, rest: str, value: str) -> None:
    name, _, part = rest.rpartition(".")
    if not name or part not in Interface.model_fields:
        parts = ", ".join(k for k in Interface.model_fields if k != "name")
        raise RequestError(f"an interface is set as interfaces.NAME.PART, not {key!r}", hint=f"parts are {parts}")
    listed = plain.setdefault("interfaces", [])
    assert isinstance(listed, list)
    entry = next((i for i in listed if i["name"] == name), None)
    if entry is None:
        entry = {"name": name}
        listed.append(entry)
    if value:
        entry[part] = value
    else:
        entry.pop(part, None)


def _split(field: str, value: str) -> Sequence[str]:
    return [part.strip() for part in value.split(LIST_SEPARATORS.get(field, ",")) if part.strip()]


def _is(model: type[BaseModel], field: str, what: str) -> bool:
    return what in str(model.model_fields[field].annotation)


def node_with(name: str, **fields: object) -> Node:
    """A node object made by the controller itself, checked like any other."""
    made = parse({"kind": "node", "name": name, **fields})
    assert isinstance(made, Node)
    return made
