"""What strangers say is kept within bounds: the audit log cannot be filled by hellos."""

import pytest

from muster.controller import node_plan, node_views, update_limit
from muster.controller.context import Context
from muster.controller.update_limit import UpdateLimit
from muster.model.objects import Machine
from tests.cluster import SERVER, hello


def say(context: Context, more: str, boot: int = 1) -> None:
    node_plan.hello(context, hello("stranger", boot=boot, more=more), SERVER)


def test_a_machine_that_says_something_else_each_time_is_stored_once(controller: Context) -> None:
    before = controller.world.revision
    for number in range(20):
        say(controller, f"disk\tsda {number} disk\n", boot=number)
    (machine,) = controller.world.all(Machine)
    assert controller.world.revision == before + 2, "the first word and one update"
    assert machine.inventory["disk"] == ("sda 1 disk",) and len(node_views.pending_rows(controller)) == 1


def test_another_card_is_stored_at_once(controller: Context) -> None:
    say(controller, "")
    for number in range(3):
        say(controller, f"interface\teth1 52:54:00:00:01:{number:02d} e1000 up\n", boot=number)
        (machine,) = controller.world.all(Machine)
        assert f"52:54:00:00:01:{number:02d}" in machine.macs


def test_a_machine_with_another_card_each_time_meets_the_bound_of_all(
    controller: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_limit, "UPDATES_AN_HOUR", 20)
    before = controller.world.revision
    for number in range(update_limit.UPDATES_AN_HOUR + 10):
        say(controller, f"interface\teth1 52:54:00:01:{number >> 8:02x}:{number & 255:02x} e1000 up\n")
    assert controller.world.revision == before + 1 + update_limit.UPDATES_AN_HOUR


def test_limits_end() -> None:
    limit = UpdateLimit()
    assert limit.allows("m", 0.0, identity=False)
    assert not limit.allows("m", 599.0, identity=False)
    assert limit.allows("m", 600.0, identity=False) and limit.allows("other", 600.0, identity=False)
    limit = UpdateLimit()
    assert sum(limit.allows("m", 1.0, identity=True) for _ in range(1000)) == update_limit.UPDATES_AN_HOUR
    assert limit.allows("m", 3602.0, identity=False)
