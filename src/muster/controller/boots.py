"""The boots that are known now: which machine, how far, when last heard. Reports come in here.

Stages go to the record on disk as well, so that a restarted app still knows who is ready; percentages
and heartbeats live only here.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from muster.boot.facts import HelloFacts
from muster.host.clock import Clock
from muster.model.errors import NotFoundError, StoreError
from muster.model.facts import MachineFacts
from muster.model.stages import WAIT
from muster.store.timelines import BootRecord, Report, Timelines

MAX_STRANGERS = 4096
"""Boots of machines that are no node; a flood of hellos drops the oldest of them, which say hello again."""

LOST_AFTER = 180.0
"""Seconds without a word after which a machine is called lost: three heartbeats, or three reports while it waits."""

log = logging.getLogger("muster.boots")


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
    heartbeat: Mapping[str, str] = field(default_factory=dict)
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
    def _last(self) -> str:
        return f"last at stage {self.stage}" + (f": {self.message}" if self.message else "")


class Boots:
    """All current boots, by id and by machine."""

    def __init__(self, timelines: Timelines, clock: Clock, new_id: Callable[[], str]) -> None:
        self._timelines = timelines
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._by_id: dict[str, Boot] = {}
        self._by_machine: dict[str, Boot] = {}
        self._strangers: dict[str, None] = {}
        for record in sorted(timelines.latest_boots(), key=lambda r: r.started):
            self._remember(_restored(record, timelines.reports(record.boot), clock.now()))

    def hello(self, machine: str, facts: HelloFacts, node: str | None) -> Boot:
        """The boot that this machine is in: the one it already had when the kernel is the same, else a new one."""
        now = self._clock.now()
        with self._lock:
            boot = self._by_machine.get(machine)
            again = boot is not None and boot.kernel_boot == facts.kernel_boot
            if boot is None or not again:
                before, boot = boot, _begun(self._new_id(), machine, facts, node, now)
                boot.rebooted_in_vain = before is not None and before.stopped_at_plan_with(facts.kernel)
                self._remember(boot)
            dropped = self._drop_strangers()
        boot.heard = now
        if again:
            self.assign(boot, node)
        else:
            with _unrecorded():
                self._write_down(boot, facts, dropped)
        return boot

    def get(self, boot: str) -> Boot:
        """Raises NotFoundError for a boot that is not the latest of its machine, or that we never saw."""
        with self._lock:
            found = self._by_id.get(boot)
        if found is None:
            raise NotFoundError(f"no current boot {boot}", hint="the node says hello again")
        return found

    def assign(self, boot: Boot, node: str | None) -> None:
        """The machine turned out to be this node (adopted, renamed) or none any more."""
        if boot.node == node:
            return
        with self._lock:
            boot.node = node
            self._sort_in(boot)
        with _unrecorded():
            self._timelines.assign(boot.boot, node)

    def report(self, boot: Boot, report: Report, percent: int | None = None) -> None:
        """A stage began, went on, ended or failed. Progress is not written to disk."""
        boot.heard = report.at
        boot.stage, boot.status, boot.percent, boot.message = report.stage, report.status, percent, report.message
        if report.stage == "ready" and report.status == "done" and boot.ready_at is None:
            boot.ready_at, boot.ready_uptime = report.at, report.uptime
        if report.status != "progress":
            with _unrecorded():
                self._timelines.add_report(boot.boot, report)

    def heartbeat(self, boot: Boot, words: Mapping[str, str]) -> None:
        """The agent's sign of life; its first `state ready` makes the node ready."""
        now = self._clock.now()
        boot.heard, boot.heartbeat = now, words
        status = {"ready": "done", "stopping": "stopping"}.get(words.get("state", ""), "start")
        if (boot.stage, boot.status) != ("ready", status):
            self.report(boot, Report(now, _seconds(words.get("uptime", "")), "ready", status, words.get("message", "")))

    def of_node(self, node: str) -> Boot | None:
        """The newest current boot of a node."""
        with self._lock:
            found = [b for b in self._by_machine.values() if b.node == node]
        return max(found, key=lambda b: b.started, default=None)

    def by_node(self) -> dict[str, Boot]:
        """The newest current boot of every node that has one."""
        newest: dict[str, Boot] = {}
        with self._lock:
            for boot in self._by_machine.values():
                if boot.node is not None and (boot.node not in newest or boot.started > newest[boot.node].started):
                    newest[boot.node] = boot
        return newest

    def of_machine(self, machine: str) -> Boot | None:
        with self._lock:
            return self._by_machine.get(machine)

    def timeline(self, boot: str) -> list[Report]:
        return self._timelines.reports(boot)

    def history(self, node: str) -> list[BootRecord]:
        return self._timelines.boots_of(node)

    def close(self) -> None:
        self._timelines.close()

    def _remember(self, boot: Boot) -> None:
        older = self._by_machine.get(boot.machine)
        if older is not None:
            self._by_id.pop(older.boot, None)
        self._by_machine[boot.machine] = boot
        self._by_id[boot.boot] = boot
        self._sort_in(boot)

    def _sort_in(self, boot: Boot) -> None:
        """Keep the strangers in the order of their hellos."""
        self._strangers.pop(boot.machine, None)
        if boot.node is None and self._by_machine.get(boot.machine) is boot:
            self._strangers[boot.machine] = None

    def _drop_strangers(self) -> list[str]:
        dropped = list(self._strangers)[: max(0, len(self._strangers) - MAX_STRANGERS)]
        for machine in dropped:
            del self._strangers[machine]
            del self._by_id[self._by_machine.pop(machine).boot]
        return dropped

    def _write_down(self, boot: Boot, facts: HelloFacts, dropped: Sequence[str]) -> None:
        for machine in dropped:
            self._timelines.forget(machine)
        document = _facts_document(facts)
        self._timelines.add_boot(
            BootRecord(boot.boot, boot.machine, boot.node, boot.kernel_boot, boot.started, document)
        )
        for stage in facts.stages:
            self._timelines.add_report(boot.boot, Report(boot.started, stage.uptime, stage.stage, "done"))


@contextmanager
def _unrecorded() -> Iterator[None]:
    """A record that cannot be written stops no boot (a full disk must not stop the cluster)."""
    try:
        yield
    except StoreError as error:
        log.error("%s", error)


def _begun(boot: str, machine: str, facts: HelloFacts, node: str | None, now: float) -> Boot:
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
    )


def _facts_document(facts: HelloFacts) -> dict[str, object]:
    machine = facts.machine
    return {
        "uuid": machine.uuid,
        "board_serial": machine.board_serial,
        "product": machine.product,
        "macs": list(machine.macs),
        "kernel": facts.kernel,
        "architecture": facts.architecture,
    }


def _restored(record: BootRecord, reports: list[Report], now: float) -> Boot:
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
    )
    for report in reports:
        boot.stage, boot.status, boot.message = report.stage, report.status, report.message
        if report.stage == "ready" and report.status == "done" and boot.ready_at is None:
            boot.ready_at, boot.ready_uptime = report.at, report.uptime
    return boot


def _optional(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
