"""Documents from outside (YAML, JSON, `key=value` words) into typed objects, and back; errors name the field."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from muster.model.errors import RequestError
from muster.model.objects import DECLARED, KINDS, Interface, Node, Object

LIST_SEPARATORS = {"authorized_keys": "\n", "kernel_arguments": " "}
"""How a list is written in one word; a comma unless said here."""
Document = dict[str, object]


def parse(document: Mapping[str, object], where: str = "") -> Object:
    """One object from a document. Raises RequestError that names every bad field."""
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RequestError(f"kind is one of {', '.join(DECLARED)}, not {kind!r}", where=where)
    name = document.get("name")
    try:
        return KINDS[kind].model_validate(document)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or kind}: {_reason(e['msg'])}" for e in error.errors()]
        raise RequestError("; ".join(lines), where=where or f"{kind} {name}") from error


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


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def node_with(name: str, **fields: object) -> Node:
    """A node object made by the controller itself, checked like any other."""
    made = parse({"kind": "node", "name": name, **fields})
    assert isinstance(made, Node)
    return made
