"""One boot of one machine as it stands, and as it is begun, kept and taken up again."""

from dataclasses import asdict, dataclass, field

from muster.boot.facts import HelloFacts
from muster.boot.heartbeat import Heartbeat
from muster.controller.given import Given, Loaded, loaded_of
from muster.model.facts import MachineFacts
from muster.model.stages import WAIT, WARNING
from muster.store.timelines import BootRecord, Report

LOST_AFTER = 180.0
"""Seconds without a word after which a machine is called lost: three heartbeats, or three reports while it waits."""

MOST_WARNINGS = 20
"""Warnings remembered of one boot, the first: a node may warn at every try."""


@dataclass
class Boot:
    """One boot of one machine as it stands. Times are Unix seconds, `uptime` the node's own seconds."""

    boot: str
    machine: str
    kernel_boot: str
    facts: MachineFacts
    kernel: str
    architecture: str
    started: float
    node: str | None = None
    stage: str = "hello"
    status: str = "start"
    percent: int | None = None
    message: str = ""
    heard: float = 0.0
    ready_at: float | None = None
    ready_uptime: float | None = None
    command_line: str = ""
    loaded: Loaded | None = None
    given: Given | None = None
    """What it took, as far as is known: until it runs, what it was offered last with its hello."""
    unknown_plan: str = ""
    """The digest of the plan by which it runs, when nobody knows that any more."""
    heartbeat: Heartbeat | None = None
    """The agent's last word since the app started."""
    warnings: tuple[str, ...] = ()
    compared: object = field(default=None, repr=False)
    """What controller/reboot.py found when it last compared this boot with the next."""
    upper_told: str | None = None
    """The size of its upper layer that the agent was last told, since the app started."""
    rebooted_in_vain: bool = False
    """The machine's last boot ended at its plan, and the kernel is still the same."""

    def stopped_at_plan_with(self, kernel: str) -> bool:
        """Whether this boot got no further than a plan that asked for another kernel than this."""
        return self.stage == "plan" and self.status == "done" and self.kernel == kernel

    def state(self, now: float) -> str:
        """One word: booting, waiting, failed, ready, stopping, off or lost."""
        silent = now - self.heard > LOST_AFTER
        if self.stage == "ready" and self.status == "stopping":
            return "off" if silent else "stopping"
        if silent:
            return "lost"
        if self.status == "failed":
            return "failed"
        if self.stage == "ready" and self.status == "done":
            return "ready"
        return "waiting" if self.stage == WAIT else "booting"

    def words(self, now: float) -> str:
        """What to tell a person of this state."""
        if self.state(now) == "lost":
            return f"no word for {int(now - self.heard)} s, {self._last}"
        return self.message

    def reason(self, now: float) -> str:
        """As `words`, without times: the same for all machines that the same happened to."""
        return f"no word, {self._last}" if self.state(now) == "lost" else self.message

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is not as it should be, in words: what its boot warned of, and what the agent sees now."""
        return tuple(dict.fromkeys((*self.warnings, *(self.heartbeat.troubles if self.heartbeat else ()))))

    @property
    def image(self) -> str:
        """What it runs, NAME@VERSION or NAME@live: as its agent says, else as it was told; empty when unknown."""
        return (self.heartbeat and self.heartbeat.image) or (self.given.image if self.given else "")

    @property
    def mode(self) -> str:
        """How it holds its root, known as `image` is."""
        return (self.heartbeat and self.heartbeat.mode) or (self.given.mode if self.given else "")

    @property
    def _last(self) -> str:
        return f"last at stage {self.stage}" + (f": {self.message}" if self.message else "")


def begun(boot: str, machine: str, facts: HelloFacts, node: str | None, now: float) -> Boot:
    """A boot at its first hello."""
    return Boot(
        boot=boot,
        machine=machine,
        kernel_boot=facts.kernel_boot,
        facts=facts.machine,
        kernel=facts.kernel,
        architecture=facts.architecture,
        started=now,
        node=node,
        heard=now,
        command_line=facts.command_line,
    )


def warned(warnings: tuple[str, ...], report: Report) -> tuple[str, ...]:
    """The warnings with this one, each once."""
    return tuple(dict.fromkeys((*warnings, report.message)))[:MOST_WARNINGS]


def facts_document(facts: HelloFacts, loaded: Loaded | None) -> dict[str, object]:
    """What is kept of a boot's hello."""
    machine = facts.machine
    return {
        "uuid": machine.uuid,
        "board_serial": machine.board_serial,
        "product": machine.product,
        "macs": list(machine.macs),
        "kernel": facts.kernel,
        "architecture": facts.architecture,
        "command_line": facts.command_line,
        "loaded": asdict(loaded) if loaded else None,
    }


def restored(record: BootRecord, reports: list[Report], given: Given | None, now: float) -> Boot:
    """A boot as it was when the app stopped, as far as it was written down."""
    facts = record.facts
    macs = facts.get("macs")
    boot = Boot(
        boot=record.boot,
        machine=record.machine,
        kernel_boot=record.kernel_boot,
        facts=MachineFacts(
            uuid=_optional(facts.get("uuid")),
            board_serial=_optional(facts.get("board_serial")),
            product=_optional(facts.get("product")),
            macs=tuple(str(mac) for mac in macs) if isinstance(macs, list) else (),
        ),
        kernel=str(facts.get("kernel", "")),
        architecture=str(facts.get("architecture", "")),
        started=record.started,
        node=record.node,
        heard=now,  # nobody is lost only because we were away
        command_line=str(facts.get("command_line", "")),
        loaded=loaded_of(facts.get("loaded")),
        given=given,
    )
    for report in reports:
        if report.status == WARNING:
            boot.warnings = warned(boot.warnings, report)
            continue
        boot.stage, boot.status, boot.message = report.stage, report.status, report.message
        if report.stage == "ready" and report.status == "done" and boot.ready_at is None:
            boot.ready_at, boot.ready_uptime = report.at, report.uptime
    return boot


def _optional(value: object) -> str | None:
    return value if isinstance(value, str) else None
