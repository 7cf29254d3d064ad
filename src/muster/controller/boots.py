"""The boots that are known now: which machine, how far, when last heard. Reports come in here.

Stages go to the record on disk as well, so that a restarted app still knows who is ready, and what a boot was given;
percentages and heartbeats live only here.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from muster.boot.facts import HelloFacts
from muster.boot.heartbeat import Heartbeat
from muster.controller.boot import Boot, begun, facts_document, restored, warned
from muster.controller.given import Given, Loaded, given_of
from muster.host.clock import Clock
from muster.model.errors import NotFoundError, StoreError
from muster.model.stages import WARNING
from muster.store.timelines import BootRecord, Report, Timelines

MAX_STRANGERS = 4096
"""Boots of machines that are no node; a flood of hellos drops the oldest of them, which say hello again."""

MOST_OFFERS = 4
"""Plans remembered of one boot that it may have taken: it says which one when it runs."""

log = logging.getLogger("muster.boots")


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
        self._offers: dict[str, dict[str, Given]] = {}
        given = timelines.given()
        for record in sorted(timelines.latest_boots(), key=lambda r: r.started):
            reports = timelines.reports(record.boot)
            self._remember(restored(record, reports, given_of(given.get(record.boot)), clock.now()))

    def hello(self, machine: str, facts: HelloFacts, node: str | None, loaded: Loaded | None = None) -> Boot:
        """The boot that this machine is in: the one it already had when the kernel is the same, else a new one.

        `loaded`: what its loader loaded, when that is known.
        """
        now = self._clock.now()
        with self._lock:
            boot = self._by_machine.get(machine)
            again = boot is not None and boot.kernel_boot == facts.kernel_boot
            if boot is None or not again:
                before, boot = boot, begun(self._new_id(), machine, facts, node, now)
                boot.loaded = loaded
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
        """A stage began, went on, ended or failed, or warns. Progress is not written to disk."""
        boot.heard = report.at
        if report.status == WARNING:
            self._warn(boot, report)
            return
        boot.stage, boot.status, boot.percent, boot.message = report.stage, report.status, percent, report.message
        if report.stage == "ready" and report.status == "done" and boot.ready_at is None:
            boot.ready_at, boot.ready_uptime = report.at, report.uptime
        if report.status != "progress":
            with _unrecorded():
                self._timelines.add_report(boot.boot, report)

    def _warn(self, boot: Boot, report: Report) -> None:
        warnings = warned(boot.warnings, report)
        if warnings != boot.warnings:
            boot.warnings = warnings
            with _unrecorded():
                self._timelines.add_report(boot.boot, report)

    def heartbeat(self, boot: Boot, said: Heartbeat) -> None:
        """The agent's sign of life; its first `state ready` makes the node ready."""
        now = self._clock.now()
        boot.heard, boot.heartbeat = now, said
        status = {"ready": "done", "stopping": "stopping"}.get(said.state, "start")
        if (boot.stage, boot.status) != ("ready", status):
            self.report(boot, Report(now, said.uptime, "ready", status, said.message))

    def offer(self, boot: Boot, given: Given) -> None:
        """The machine asked for its plan and may go by this one: the answer to a question, so nothing is written."""
        with self._lock:
            offers = self._offers.setdefault(boot.boot, {})
            offers.pop(given.plan, None)
            offers[given.plan] = given
            while len(offers) > MOST_OFFERS:
                del offers[next(iter(offers))]

    def offered(self, boot: Boot, plan: str) -> Given | None:
        """What the plan with this digest gave, if this machine was offered it since the app started."""
        with self._lock:
            return self._offers.get(boot.boot, {}).get(plan)

    def give(self, boot: Boot, given: Given | None) -> None:
        """The boot goes by this plan, or (None) by one that is not known."""
        if boot.given != given:
            boot.given = given
            with _unrecorded():
                self._timelines.give(boot.boot, asdict(given) if given else None)

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
            self._offers.pop(older.boot, None)
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
            boot = self._by_machine.pop(machine).boot
            del self._by_id[boot]
            self._offers.pop(boot, None)
        return dropped

    def _write_down(self, boot: Boot, facts: HelloFacts, dropped: Sequence[str]) -> None:
        for machine in dropped:
            self._timelines.forget(machine)
        document = facts_document(facts, boot.loaded)
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
