"""What iPXE is told: a pure function of its facts and the world. Nothing is remembered of the question."""

from collections.abc import Mapping

from muster.boot import ipxe
from muster.boot.decide import decide
from muster.boot.facts import loader_facts
from muster.model.objects import Blob
from muster.model.world import World

_ARCHITECTURES = {"x86_64": "x86_64", "i386": "x86_64", "arm64": "aarch64"}
"""iPXE's `buildarch`: its BIOS build is i386 on every x86 machine."""


def answer_boot(world: World, query: Mapping[str, str], server: str, node_segment: Blob) -> str:
    """The iPXE script for the machine that asks."""
    facts = loader_facts(query)
    decision = decide(world, facts.machine, _ARCHITECTURES.get(facts.architecture, "x86_64"))
    return ipxe.render(decision, facts, server, node_segment)
