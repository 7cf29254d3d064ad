"""What an administrator sees of nodes: listing, status, explanation, timeline."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from muster.boot import ipxe
from muster.boot.decide import Decision, Run, decide
from muster.boot.facts import LoaderFacts, machine_facts
from muster.boot.roots import equipped
from muster.controller.boots import Boot
from muster.controller.context import Context
from muster.model import noderange
from muster.model.cascade import Cascade, effective
from muster.model.documents import document
from muster.model.errors import NotFoundError
from muster.model.facts import MachineFacts
from muster.model.images import resolve
from muster.model.noderange import fold, select
from muster.model.objects import Machine, Node
from muster.model.states import STATES
from muster.model.world import World, declared_facts


def states(context: Context) -> dict[str, str]:
    """The state of every node that has booted (model/states.py); one that is not in it never has."""
    now = context.clock.now()
    return {name: boot.state(now) for name, boot in context.boots.by_node().items()}


def names_of(context: Context, text: str) -> list[str]:
    """The names of the nodes of a range; it may have none."""
    return [node.name for node in select(context.world, text, states(context), may_be_empty=True)]


def group_rows(context: Context, node: str | None = None) -> list[dict[str, object]]:
    """One row for each group that a range can name: those that `node` is in, or all."""
    if node is not None:
        context.world.get(Node, node)
    found = noderange.groups(context.world, states(context))
    return [
        {"group": group, "count": len(names), "nodes": fold(names)}
        for group, names in found.items()
        if node is None or node in names
    ]


@dataclass(frozen=True)
class _View:
    """What the columns of one node are made from; settings are merged only for those that need them."""

    node: Node
    boot: Boot | None
    now: float
    cascade: Cascade
    versions: dict[str | None, str]

    @property
    def image(self) -> str | None:
        return self.cascade.image(self.node)

    @property
    def version(self) -> str:
        """What it would boot now."""
        image = self.image
        if image not in self.versions:
            self.versions[image] = _wanted_version(self.cascade.world, image)
        return self.versions[image]


COLUMNS: Mapping[str, Callable[[_View], object]] = {
    "name": lambda v: v.node.name,
    "state": lambda v: v.boot.state(v.now) if v.boot else "never",
    "stage": lambda v: v.boot.stage if v.boot else "",
    "percent": lambda v: v.boot.percent if v.boot and v.boot.status == "progress" else None,
    "seconds": lambda v: round(v.boot.ready_uptime, 1) if v.boot and v.boot.ready_uptime else None,
    "image": lambda v: v.image or "",
    "version": lambda v: v.version,
    "address": lambda v: next((i.address.partition("/")[0] for i in v.node.interfaces if i.address), ""),
    "mac": lambda v: next((i.mac for i in v.node.interfaces if i.mac), ""),
    "profiles": lambda v: list(v.node.profiles),
    "labels": lambda v: dict(v.cascade.labels(v.node)),
    "message": lambda v: v.boot.words(v.now) if v.boot else "no boot seen yet",
    "reason": lambda v: v.boot.reason(v.now) if v.boot else "no boot seen yet",
    "heard": lambda v: round(v.now - v.boot.heard, 1) if v.boot else None,
    "boot": lambda v: v.boot.boot if v.boot else "",
}
"""What a row of a node can hold, in the order of a whole row."""


def node_rows(context: Context, names: str = "@all", columns: Sequence[str] | None = None) -> list[dict[str, object]]:
    """One row a node: what it is and how its boot stands, in these `columns`. No nodes at all is an empty list.

    A column that does not exist is None, as it is for the other kinds.
    """
    world, now, boots = context.world, context.clock.now(), context.boots.by_node()
    chosen = list(world.all(Node)) if names == "@all" else select(world, names, states(context), may_be_empty=True)
    cascade, versions = Cascade(world), dict[str | None, str]()
    wanted = [(column, COLUMNS.get(column, _absent)) for column in (COLUMNS if columns is None else columns)]
    views = (_View(node, boots.get(node.name), now, cascade, versions) for node in chosen)
    return [{column: value(view) for column, value in wanted} for view in views]


def pending_rows(context: Context) -> list[dict[str, object]]:
    """One row for each machine that waits to be adopted."""
    rows: list[dict[str, object]] = []
    for machine in context.world.all(Machine):
        if context.world.match(machine_facts(machine.inventory)).node is not None:
            continue  # declared by hand meanwhile
        first = {key: entries[0] for key, entries in machine.inventory.items() if entries}
        boot = context.boots.of_machine(machine.name)
        rows.append(
            {
                "machine": machine.short,
                "state": boot.state(context.clock.now()) if boot else "never",
                "vendor": first.get("vendor", ""),
                "product": first.get("product", ""),
                "serial": first.get("system-serial", ""),
                "uuid": first.get("uuid", ""),
                "mac": first.get("bootif", ""),
                "cpus": first.get("cpus", ""),
                "memory": _gibibytes(first.get("memory", "")),
            }
        )
    return rows


def status(context: Context) -> dict[str, object]:
    """Counts by state, then what needs attention: the worst state first, in it what most nodes have, folded."""
    rows = node_rows(context, columns=("name", "state", "reason"))
    counts = Counter(str(row["state"]) for row in rows)
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["state"] != "ready":
            groups.setdefault((str(row["state"]), str(row["reason"])), []).append(str(row["name"]))
    attention = [
        {"nodes": fold(names), "count": len(names), "state": state, "message": message}
        for (state, message), names in sorted(groups.items(), key=lambda g: (STATES.index(g[0][0]), -len(g[1])))
    ]
    return {
        "counts": {state: counts[state] for state in STATES if counts[state]},
        "ready": fold([str(row["name"]) for row in rows if row["state"] == "ready"]),
        "attention": attention,
        "pending": pending_rows(context),
    }


def explain(context: Context, name: str, server: str) -> dict[str, object]:
    """The way from this node's facts to its boot answer, without effects; every value with its source."""
    world = context.world
    node = world.get(Node, name)
    macs = tuple(i.mac for i in node.interfaces if i.mac)
    declared = declared_facts(node.machine) if node.machine else MachineFacts()
    facts = MachineFacts(declared.uuid, declared.board_serial, declared.product, macs)
    decision = decide(world, facts)
    return {
        "node": name,
        "machine": (facts.fingerprint or "")[:8],
        "decision": _decision_words(equipped(decision, context.supplies)),
        "settings": [
            {"key": value.key, "value": value.value, "source": value.source} for value in effective(world, node).values
        ],
        "boot_answer": ipxe.render(decision, LoaderFacts(facts, platform="pcbios"), server, context.node_segment),
    }


def effective_document(world: World, name: str) -> dict[str, object]:
    """The node with everything that its profiles and the defaults give it."""
    node = world.get(Node, name)
    merged = effective(world, node)
    settings = merged.settings.model_dump(mode="json", exclude_none=True)
    return {**document(node), **settings, "sources": {value.key: value.source for value in merged.values}}


def trace(context: Context, name: str, boot: str | None = None) -> dict[str, object]:
    """The timeline of a node's newest boot, or of the one named. Raises NotFoundError."""
    history = context.boots.history(name)
    record = next((r for r in history if boot is None or r.boot == boot), None)
    if record is None:
        context.world.get(Node, name)
        raise NotFoundError(f"node {name} has no record of {'boot ' + boot if boot else 'a boot'}")
    current = context.boots.of_node(name)
    live = current if current is not None and current.boot == record.boot else None
    return {
        "node": name,
        "boot": record.boot,
        "started": record.started,
        "kernel": record.facts.get("kernel"),
        "state": live.state(context.clock.now()) if live else "ended",
        "stage": live.stage if live else None,
        "percent": live.percent if live and live.status == "progress" else None,
        "reports": [vars(report) for report in context.boots.timeline(record.boot)],
        "boots": [{"boot": r.boot, "started": r.started} for r in history],
    }


def _absent(_view: _View) -> None:
    return None


def _wanted_version(world: World, image: str | None) -> str:
    try:
        return resolve(world, image).name if image else ""
    except NotFoundError:
        return ""


def _decision_words(decision: Decision) -> str:
    if isinstance(decision, Run):
        flag = f" ({decision.flag})" if decision.flag else ""
        return f"runs {decision.image} from {decision.effective.settings.root}{flag}"
    return f"waits: {decision.reason}"


def _gibibytes(kilobytes: str) -> str:
    return f"{int(kilobytes) / 1048576:.1f} GiB" if kilobytes.isdigit() and len(kilobytes) < 16 else ""
