"""The root of a lab: first process of its namespaces, started by `muster lab up` through unshare(1).

`python -m muster.lab.root DIR` makes the network, keeps the controller running, switches the machines and
answers on DIR/lab.sock. The kernel ends everything of the lab when this process ends, however it ends.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from muster.host import process
from muster.lab import control, network, plan, reach, router
from muster.lab.keeper import Keeper, say
from muster.lab.plan import Lab
from muster.lab.qemu import Places
from muster.lab.retry import ConsoleWatch
from muster.lab.virtual import VirtualMachine
from muster.model.errors import DeniedError, MusterError, RequestError

WATCH_EVERY = 5.0


@dataclass
class Root:
    """The running lab. `state` is starting, ready, failed or stopping; `message` says why."""

    lab: Lab
    machines: dict[str, VirtualMachine]
    state: str = "starting"
    message: str = ""
    keeper: Keeper | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def handles(self) -> Iterator[process.Handle]:
        """Every child that somebody here waits for."""
        yield from self.keeper.handles() if self.keeper is not None else ()
        yield from (virtual.qemu for virtual in self.machines.values() if virtual.qemu is not None)

    async def answer(self, question: dict[str, object], user: int) -> dict[str, object]:
        match question.get("verb"):
            case "status":
                return {**self._state(), "power": self._power(list(self.machines))}
            case "state":
                return {"power": self._power(self._named(question))}
            case "power":
                return await self._switch(self._named(question), str(question.get("action")))
            case "controller":
                _only_root(user, "stops and starts a lab's controller")
                return await self._switch_controller(str(question.get("action")))
            case "stop":
                _only_root(user, "stops a lab")
                self.state = "stopping"
                self.stopping.set()
                return {"state": self.state}
            case other:
                raise RequestError(f"no such verb: {other!r}", hint="status, state, power, controller or stop")

    def _state(self) -> dict[str, object]:
        controller = self.keeper.state if self.keeper is not None else ""
        return {"state": self.state, "message": self.message, "controller": controller}

    def _named(self, question: dict[str, object]) -> list[str]:
        nodes = question.get("nodes")
        if not isinstance(nodes, list) or not all(isinstance(node, str) for node in nodes):
            raise RequestError("nodes: a list of names")
        return [self.lab.machine(node).name for node in nodes]

    def _power(self, names: list[str]) -> dict[str, str]:
        return {name: self.machines[name].state for name in names}

    async def _switch(self, names: list[str], action: str) -> dict[str, object]:
        """All at once; the first that fails is told, the others are done nevertheless."""
        done = await asyncio.gather(*(self.machines[name].power(action) for name in names), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure
        return {"power": self._power(names)}

    async def _switch_controller(self, action: str) -> dict[str, object]:
        if self.keeper is None:
            raise RequestError("this lab has no controller")
        await self.keeper.switch(action)
        return {"controller": self.keeper.state}

    async def become_ready(self) -> None:
        """Ready when the controller answers; the time limit for that is whoever waits."""
        if self.keeper is not None:
            await self.keeper.until_answered()
        if self.state == "starting":
            self.state = "ready"

    async def watch_firmware(self) -> None:
        watches = {
            name: ConsoleWatch(self.lab.console_log(name))
            for name, virtual in self.machines.items()
            if virtual.machine.firmware == "uefi"
        }
        while True:
            await asyncio.sleep(WATCH_EVERY)
            for name, watch in watches.items():
                if watch.firmware_gave_up() and self.machines[name].state == "on":
                    say(f"{name}: firmware found nothing to boot; reset")
                    await asyncio.gather(self.machines[name].power("reset"), return_exceptions=True)

    async def stop(self) -> None:
        """Machines off and the controller ended, at once; what is left then goes with the namespace."""
        ends = [virtual.power("off") for virtual in self.machines.values()]
        if self.keeper is not None:
            ends.append(self.keeper.end())
        await asyncio.gather(*ends, return_exceptions=True)


async def run(lab: Lab) -> None:
    """The lab's whole life."""
    root = Root(lab, {machine.name: _virtual(lab, machine) for machine in lab.machines})
    if lab.controller is not None:
        root.keeper = Keeper(lab.controller, lab.folder / "controller.log")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, root.stopping.set)
    loop.add_signal_handler(signal.SIGCHLD, lambda: reap(root))
    reach.open_up(lab.folder / "reach")
    network.bring_up(lab.machines)
    network.name_machines(lab.machines, lab.folder / "hosts")
    _answer_solicitations(loop)
    server = await control.serve(lab.socket, root.answer)
    tasks = [loop.create_task(work) for work in (root.become_ready(), root.watch_firmware())]
    if root.keeper is not None:
        tasks.append(loop.create_task(root.keeper.keep()))
        tasks[-1].add_done_callback(lambda task: _tell_failure(root, task))
    await root.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await root.stop()
    server.close()


def reap(root: Root) -> None:
    """Take in every orphan that ended; our own children are left to their handles."""
    own = {handle.pid: handle for handle in root.handles()}
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in own:
                own[ended.si_pid].poll()
            else:
                os.waitpid(ended.si_pid, 0)


def _virtual(lab: Lab, machine: plan.Machine) -> VirtualMachine:
    places = Places(lab.machine_folder(machine.name), network.tap_of(machine))
    return VirtualMachine(machine, places, lab.accelerator)


def _answer_solicitations(loop: asyncio.AbstractEventLoop) -> None:
    """Without IPv6 in this kernel iPXE waits longer; nothing else is lost."""
    try:
        heard = router.opened(network.BRIDGE)
    except OSError as error:
        say(f"no answers to IPv6 router solicitations: {error.strerror}")
        return
    loop.add_reader(heard, router.answer, heard, network.BRIDGE)


def _tell_failure(root: Root, task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        root.state, root.message = "failed", str(error) or type(error).__name__
        say(root.message)


def _only_root(user: int, what: str) -> None:
    if user != 0:
        raise DeniedError(f"only root {what}")


def main() -> None:
    folder, lock = Path(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(lock, False)
    os.umask(0o022)
    try:
        asyncio.run(run(plan.read(folder)))
    except MusterError as error:
        say(str(error))
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
