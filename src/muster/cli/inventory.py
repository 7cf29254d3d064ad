"""Nodes, their profiles and labels as other programs read them. Pure: rows of nodes in, text out."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from muster.model.errors import RequestError

Row = Mapping[str, Any]
COLUMNS = ("name", "state", "address", "profiles", "labels")
_GENDERS_VALUE = re.compile(r"[^\s,=#%]*")
_RESERVED = ("all", "ungrouped", "_meta")


def genders(rows: Sequence[Row]) -> str:
    """A genders(3) file: profiles are attributes, labels attributes with a value; one line a node."""
    lines = []
    for row in rows:
        attributes = [*row["profiles"], *(f"{key}={value}" for key, value in row["labels"].items())]
        _refuse_unwritable(row)
        lines.append(f"{row['name']} {','.join(attributes)}".rstrip())
    return "".join(f"{line}\n" for line in lines)


def ansible(rows: Sequence[Row]) -> str:
    """The JSON that Ansible wants of an inventory program's --list, every host's variables in `_meta`.

    Groups: each profile, `LABEL_VALUE`, `state_STATE`. RequestError when two would have one name.
    """
    members: defaultdict[str, list[str]] = defaultdict(list)
    origins: dict[str, str] = {}
    for row in rows:
        for origin in _origins(row):
            group = re.sub(r"[^A-Za-z0-9_]", "_", origin.replace("=", "_"))
            if group in _RESERVED or origins.setdefault(group, origin) != origin:
                raise RequestError(f"{origin} cannot be a group of Ansible: {group} is {origins.get(group, 'its own')}")
            members[group].append(row["name"])
    variables = {row["name"]: _variables(row) for row in rows}
    groups: dict[str, object] = {group: {"hosts": members[group]} for group in sorted(members)}
    every = {"hosts": [row["name"] for row in rows]}
    return json.dumps({"_meta": {"hostvars": variables}, "all": every, **groups}, indent=2) + "\n"


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {"genders": genders, "ansible": ansible}


def _origins(row: Row) -> Iterator[str]:
    yield from row["profiles"]
    yield from (f"{key}={value}" for key, value in row["labels"].items())
    yield f"state={row['state']}"


def _variables(row: Row) -> dict[str, object]:
    reached = {"ansible_host": row["address"]} if row["address"] else {}
    return {**reached, "muster_profiles": row["profiles"], "muster_labels": row["labels"]}


def _refuse_unwritable(row: Row) -> None:
    """genders has no quotes: blanks, commas, = # and % cannot be in a value."""
    for key, value in row["labels"].items():
        if not _GENDERS_VALUE.fullmatch(value):
            raise RequestError(f"the label {key} of {row['name']} cannot stand in a genders file: {value!r}")
