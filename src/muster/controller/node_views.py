"""What an administrator sees of nodes: listing, status, explanation, timeline."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from muster.boot import ipxe
from muster.boot.decide import Decision, Run, decide
from muster.boot.facts import LoaderFacts, machine_facts
from muster.boot.roots import equipped
from muster.controller import objects, running
from muster.controller.boot import Boot
from muster.controller.context import Context
from muster.controller.reboot import Comparison
from muster.model import noderange
from muster.model.cascade import Cascade, effective
from muster.model.documents import document
from muster.model.errors import NotFoundError
from muster.model.facts import MachineFacts
from muster.model.images import resolve
from muster.model.noderange import fold, select
from muster.model.objects import Machine, Node
from muster.model.states import NEVER, STATES
from muster.model.world import World, declared_facts

NO_BOOT = "no boot seen yet"
NOT_RUNNING = ("failed", "lost", "waiting", NEVER)


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
class _Moment:
    """What all views of one question share."""

    now: float
    boots: Mapping[str, Boot]
    cascade: Cascade
    comparison: Comparison
    versions: dict[str | None, str]

    def version(self, image: str | None) -> str:
        """The version that an image reference stands for."""
        if image not in self.versions:
            self.versions[image] = _wanted_version(self.cascade.world, image)
        return self.versions[image]


class _View:
    """What the columns of one node are made from; settings are merged only for those that need them.

    `running`: its boot, if it came as far as its image and was not switched off since.
    """

    __slots__ = ("boot", "moment", "node", "running", "state")

    def __init__(self, node: Node, moment: _Moment) -> None:
        self.node = node
        self.moment = moment
        self.boot = boot = moment.boots.get(node.name)
        self.state = boot.state(moment.now) if boot else NEVER
        self.running = boot if boot and boot.ready_at is not None and self.state != "off" else None

    @property
    def image(self) -> str | None:
        return self.moment.cascade.image(self.node)

    @property
    def labels(self) -> Mapping[str, str]:
        return self.moment.cascade.labels(self.node)

    @property
    def digest(self) -> str:
        return running.digest(self.moment.cascade.world, self.running) if self.running else ""

    @property
    def reboot(self) -> tuple[str, ...] | None:
        return self.moment.comparison.of(self.node, self.running) if self.running else None

    @property
    def words(self) -> str:
        return self.boot.words(self.moment.now) if self.boot else NO_BOOT

    @property
    def reason(self) -> str:
        return self.boot.reason(self.moment.now) if self.boot else NO_BOOT

    @property
    def trouble(self) -> str:
        """What is wrong with it: why it does not run, or what it warned of."""
        if self.state in NOT_RUNNING:
            return self.words
        return "; ".join(self.boot.troubles) if self.boot else ""


COLUMNS: Mapping[str, Callable[[_View], object]] = {
    "name": lambda v: v.node.name,
    "state": lambda v: v.state,
    "stage": lambda v: v.boot.stage if v.boot else "",
    "percent": lambda v: v.boot.percent if v.boot and v.boot.status == "progress" else None,
    "seconds": lambda v: round(v.boot.ready_uptime, 1) if v.boot and v.boot.ready_uptime else None,
    "image": lambda v: v.image or "",
    "version": lambda v: v.moment.version(v.image),
    "address": lambda v: next((i.address.partition("/")[0] for i in v.node.interfaces if i.address), ""),
    "mac": lambda v: next((i.mac for i in v.node.interfaces if i.mac), ""),
    "profiles": lambda v: list(v.node.profiles),
    "labels": lambda v: dict(v.labels),
    "mode": lambda v: v.running.mode if v.running else "",
    "running": lambda v: v.running.image if v.running else "",
    "digest": lambda v: v.digest,
    "ram": lambda v: running.ram(v.running) if v.running else None,
    "upper": lambda v: running.upper(v.running) if v.running else "",
    "reboot": lambda v: v.reboot,
    "trouble": lambda v: v.trouble,
    "message": lambda v: v.words,
    "reason": lambda v: v.reason,
    "heard": lambda v: round(v.moment.now - v.boot.heard, 1) if v.boot else None,
    "boot": lambda v: v.boot.boot if v.boot else "",
}
"""What a row of a node can hold, in the order of a whole row."""


def node_rows(context: Context, names: str = "@all", columns: Sequence[str] | None = None) -> list[dict[str, object]]:
    """One row a node: what it is and how its boot stands, in these `columns`. No nodes at all is an empty list.

    A column that does not exist is None, as it is for the other kinds.
    """
    world = context.world
    chosen = list(world.all(Node)) if names == "@all" else select(world, names, states(context), may_be_empty=True)
    wanted = [(column, COLUMNS.get(column, _absent)) for column in (COLUMNS if columns is None else columns)]
    return [{column: value(view) for column, value in wanted} for view in _views(context, world, chosen)]


def _views(context: Context, world: World, nodes: Iterable[Node]) -> list[_View]:
    boots, comparison = context.boots.by_node(), Comparison(context)
    moment = _Moment(context.clock.now(), boots, Cascade(world), comparison, {})
    return [_View(node, moment) for node in nodes]


def show(context: Context, name: str, *, effective: bool = False) -> dict[str, object]:
    """A node as it was declared, or with what its profiles and the defaults give it; and as it is `now`."""
    world = context.world
    declared = effective_document(world, name) if effective else objects.show(world, "node", name)
    (view,) = _views(context, world, [world.get(Node, str(declared["name"]))])
    now: dict[str, object] = {"state": view.state, "says": view.words}
    if view.running:
        now |= running.document(context, view.node, view.running)
    return {**declared, "now": now}


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
    views = _views(context, context.world, context.world.all(Node))
    counts = Counter(view.state for view in views)
    ready = [view for view in views if view.state == "ready"]
    groups: dict[tuple[str, str], list[str]] = {}
    for view in views:
        reasons = view.boot.troubles if view.boot and view.state == "ready" else [view.reason]
        for reason in reasons:
            groups.setdefault((view.state, reason), []).append(view.node.name)
    attention = [
        {"nodes": fold(names), "count": len(names), "state": state, "message": message}
        for (state, message), names in sorted(groups.items(), key=lambda g: (STATES.index(g[0][0]), -len(g[1])))
    ]
    return {
        "counts": {state: counts[state] for state in STATES if counts[state]},
        "ready": fold([view.node.name for view in ready]),
        "attention": attention,
        "reboot": running.reboots({view.node.name: view.reboot for view in ready}),
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
