"""Machines that are no node yet. What strangers say is kept within bounds: in number, in size and in how often.

Every stored change is a line of the audit log for ever, so a machine that says something else with each hello
(broken, or hostile) must not write one each time.
"""

import logging

from muster.boot.facts import HelloFacts, machine_facts
from muster.controller.context import Context
from muster.model.errors import StoreError
from muster.model.objects import Machine
from muster.model.world import Change, World

MAX_PENDING = 4096
"""Machines kept as pending; more than any delivery of hardware, and a bound for a flood of hellos."""

_MAX_INVENTORY_ENTRIES = 64

log = logging.getLogger("muster.pending")


def remember(context: Context, machine: str, facts: HelloFacts) -> None:
    """Keep what an unknown machine said of itself, so that it can be adopted.

    StoreError when a new one cannot be written down: it says hello again, until it can be adopted.
    """
    inventory = {key: entries[:_MAX_INVENTORY_ENTRIES] for key, entries in facts.inventory.items() if key != "address"}
    known = context.world.find(Machine, machine)
    if known is not None:
        identity = machine_facts(known.inventory) != machine_facts(inventory)
        if known.inventory == inventory or not context.updates.allows(
            machine, context.clock.monotonic(), identity=identity
        ):
            return
    entry = Machine(
        name=machine, inventory=inventory, first_seen=known.first_seen if known else round(context.clock.now(), 3)
    )

    def add(world: World) -> tuple[None, list[Change]]:
        before = world.find(Machine, machine)
        if before is None and sum(1 for _ in world.all(Machine)) >= MAX_PENDING:
            return None, []
        return None, [Change("machine", machine, before, entry)]

    context.store.change(add, who=f"machine {machine[:8]}")


def forget(context: Context, machine: str) -> None:
    """A machine that was declared by hand instead of adopted is no longer pending."""
    if context.world.find(Machine, machine) is None:
        return

    def remove(world: World) -> tuple[None, list[Change]]:
        before = world.find(Machine, machine)
        return None, [Change("machine", machine, before, None)] if before else []

    try:
        context.store.change(remove, who=f"machine {machine[:8]}")
    except StoreError as error:  # a full disk stops no node's boot; its next hello tries again
        log.error("%s", error)
