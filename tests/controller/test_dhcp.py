"""What DHCP answers is made anew only when something that it answers changed."""

import pytest

from muster.controller import dhcp
from muster.controller.objects import apply, change
from muster.model.world import World
from tests.cluster import NETWORK, PROFILE, node, world_of

WORLD = world_of(NETWORK, PROFILE | {"image": None}, node("n1"), node("n2"))


@pytest.mark.parametrize(
    ("kind", "name", "words", "same"),
    [
        ("node", "n1", {"labels.rack": "r1"}, True),
        ("profile", "compute", {"domain": "x"}, True),
        ("node", "n1", {"interfaces.eth0.mac": "52:54:00:00:00:77"}, False),
        ("node", "n1", {"interfaces.eth0.address": ""}, False),
        ("network", "lab", {"lease": "7200"}, False),
    ],
)
def test_only_what_dhcp_answers_counts(kind: str, name: str, words: dict[str, str], same: bool) -> None:
    worlds = [WORLD]
    known = dhcp.Known(lambda: worlds[-1])
    before = known.tables()
    _, changes = change(WORLD, kind, name, words)
    worlds.append(WORLD.with_changes(changes, 9))
    assert (known.tables() is before) is same
    assert known.tables() == dhcp.tables(worlds[-1])


def test_a_node_that_comes_or_goes_counts() -> None:
    worlds = [WORLD]
    known = dhcp.Known(lambda: worlds[-1])
    assert len(known.tables().hosts) == 2
    added = node("n3", interfaces=[{"name": "eth0", "mac": "52:54:00:00:00:03", "address": "10.77.0.13/24"}])
    worlds.append(WORLD.with_changes(apply(WORLD, [added])[1], 9))
    assert len(known.tables().hosts) == 3
    worlds.append(World())
    assert known.tables().hosts == ()
