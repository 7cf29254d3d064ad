"""The JSON Schema that is shipped is the one of the model."""

import json
import re

from muster.cli.schema import FILE
from muster.model.objects import DECLARED, KINDS
from muster.model.schema import schema


def test_the_shipped_file_is_up_to_date(update_golden: bool) -> None:
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if update_golden:
        FILE.write_text(text)
    assert FILE.read_text() == text, "the model changed: pytest tests/model/test_schema.py --update-golden"


def test_every_key_of_every_declared_kind_and_no_other() -> None:
    found = schema()
    for kind in DECLARED:
        one = found["$defs"][KINDS[kind].__name__]
        assert set(one["properties"]) == set(KINDS[kind].model_fields) and one["additionalProperties"] is False
        assert {"kind", "name"} <= set(one["required"])


def test_an_editor_takes_what_the_model_takes() -> None:
    definitions = schema()["$defs"]
    mac = definitions["Interface"]["properties"]["mac"]["pattern"]
    assert all(re.search(mac, text) for text in ("52:54:00:00:00:01", "5254.0000.0001", "52-54-00-00-00-01"))
    assert not re.search(mac, "52:54")
    serial = definitions["MachineKey"]["properties"]["board_serial"]["type"]
    assert serial == ["string", "number", "boolean"], "00012345 is a number to an editor and text to us"
