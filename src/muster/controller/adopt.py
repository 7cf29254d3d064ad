"""A pending machine becomes a node: the declaration, and the boot in which the machine already waits."""

from collections.abc import Mapping, Sequence

from muster.controller import objects
from muster.controller.context import Context
from muster.controller.objects import Outcome
from muster.model.world import Change, World


def adopt(context: Context, machine: str, name: str, assignments: Mapping[str, str], who: str) -> Outcome:
    """Commit the adoption (errors as in objects.adopt); from then on the waiting boot is the node's."""

    def plan(world: World) -> tuple[tuple[Outcome, str], Sequence[Change]]:
        outcome, changes = objects.adopt(world, machine, name, assignments)
        (fingerprint,) = (change.name for change in changes if change.kind == "machine")
        return (outcome, fingerprint), changes

    outcome, fingerprint = context.store.change(plan, who=who)
    if (boot := context.boots.of_machine(fingerprint)) is not None:
        context.boots.assign(boot, name)
    return outcome
