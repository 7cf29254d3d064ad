"""The JSON Schema (draft 2020-12) of all that may be declared, for editors; the models themselves judge."""

from typing import Any

from pydantic.json_schema import models_json_schema

from muster.model.objects import DECLARED, KINDS


def schema() -> dict[str, Any]:
    """One document, whose `kind` says which of `$defs` it must fit."""
    models = {kind: KINDS[kind] for kind in DECLARED}
    _, found = models_json_schema([(model, "validation") for model in models.values()])
    definitions: dict[str, Any] = found["$defs"]
    for kind, model in models.items():
        declared = definitions[model.__name__]
        declared["required"] = sorted({"kind", *declared["required"]})
        declared["properties"]["kind"] = {"const": kind}
    _settle(definitions)
    references = {kind: f"#/$defs/{model.__name__}" for kind, model in models.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Muster declaration",
        "discriminator": {"propertyName": "kind", "mapping": references},
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "$defs": definitions,
    }


def _settle(part: Any) -> None:
    """No null (an unset key is left out), no titles made of field names, and free text may look like a number."""
    if isinstance(part, list):
        for each in part:
            _settle(each)
    if not isinstance(part, dict):
        return
    choices = [choice for choice in part.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del part["anyOf"]
        part.update(choices[0])
    if isinstance(part.get("title"), str):
        del part["title"]
    if part.get("default", "") in (None, [], {}):
        del part["default"]
    if "patternProperties" in part:
        part["additionalProperties"] = False
    if part.get("type") == "string" and not {"pattern", "enum", "const", "format"} & part.keys():
        part["type"] = ["string", "number", "boolean"]
    for each in part.values():
        _settle(each)
