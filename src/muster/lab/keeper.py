"""The lab's controller: prepared once, then kept running for as long as it is wanted, as a service manager does."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

from muster.host import process
from muster.lab.plan import Controller
from muster.model.errors import MusterError, RequestError

PREPARE_TIME = 60.0
RESTART_DELAY = 1.0
STOP_TIME = 10.0
ANSWER_TIME = 30.0
POLL = 0.05


@dataclass
class Keeper:
    """One controller's processes. What it says goes to `log`; `wanted` is false while a person keeps it stopped."""

    controller: Controller
    log: Path
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    running: process.Handle | None = None
    preparing: process.Handle | None = None
    answered: bool = False
    """Whether it ever did: an end before that is a fault that a new start would not cure."""
    ended: bool = False
    """Whether its end was our doing."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.wanted.set()

    @property
    def state(self) -> str:
        """running, stopped, or between the two: starting or stopping."""
        runs = self.running is not None and self.running.poll() is None
        if self.wanted.is_set():
            return "running" if runs else "starting"
        return "stopping" if runs else "stopped"

    def handles(self) -> list[process.Handle]:
        return [handle for handle in (self.running, self.preparing) if handle is not None]

    async def keep(self) -> None:
        """Prepare the controller, then keep it running: begun again 1 s after an end that nobody asked for.

        MusterError: it cannot be prepared, or ends before it has answered for the first time.
        """
        with self.log.open("ab", buffering=0) as log:
            await self._prepare(log.fileno())
            while True:
                await self.wanted.wait()
                self.running = process.start(self.controller.serve, stdout=log, stderr=log, own_session=True)
                while (status := self.running.poll()) is None:
                    await asyncio.sleep(POLL)
                if self.ended:
                    self.ended = False
                    continue
                if not self.answered:
                    raise MusterError(f"the controller ended with status {status}", where=log.name)
                say(f"the controller ended with status {status}; again in {RESTART_DELAY:g} s")
                await asyncio.sleep(RESTART_DELAY)

    async def until_answered(self) -> None:
        """Until its socket takes a connection; the time limit for that is whoever waits."""
        while not await _connects(self.controller.socket):
            await asyncio.sleep(POLL)
        self.answered = True

    async def switch(self, action: str) -> None:
        """stop: at return nothing of it runs, until start; start: at return it answers. Either may be so already.

        MusterError: it does not answer in time; the attempts go on.
        """
        async with self.turn:
            match action:
                case "stop":
                    self.wanted.clear()
                    await self.end()
                case "start":
                    self.wanted.set()
                    await self._start()
                case _:
                    raise RequestError(f"not an action of the controller: {action!r}", hint="stop or start")

    async def end(self) -> None:
        """SIGTERM, with which it ends its children; after 10 s SIGKILL, which none of them outlives."""
        if self.running is None or self.running.poll() is not None:
            return
        self.ended = True
        self.running.terminate()
        try:
            async with asyncio.timeout(STOP_TIME):
                while self.running.poll() is None:
                    await asyncio.sleep(POLL)
        except TimeoutError:
            say(f"the controller does not end within {STOP_TIME:g} s; killed")
            self.running.kill()
            self.running.wait()

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIME):
                await self.until_answered()
        except TimeoutError as error:
            raise MusterError(
                f"the controller does not answer within {ANSWER_TIME:g} s", where=str(self.log)
            ) from error

    async def _prepare(self, output: int) -> None:
        if not self.controller.prepare:
            return
        self.preparing = process.start(self.controller.prepare, stdout=output, stderr=output)
        async with asyncio.timeout(PREPARE_TIME):
            while (status := self.preparing.poll()) is None:
                await asyncio.sleep(POLL)
        if status:
            raise MusterError(f"exit status {status} from {' '.join(self.controller.prepare)}", where=str(self.log))


async def _connects(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def say(text: str) -> None:
    """A line in DIR/lab.log."""
    print(text, file=sys.stderr, flush=True)
