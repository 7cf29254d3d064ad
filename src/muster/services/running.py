"""One child at run time: start, ready, ended, started again. Nothing here waits; the supervisor's loop calls `step`."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from muster.host import process
from muster.model.errors import CommandError, MusterError
from muster.services.child import CONTROL_FD, Child, confined
from muster.services.prepare import Account

State = Literal["waiting", "starting", "ready", "stopping", "stopped", "failed"]

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
STEADY = 10.0
STOP_TIME = 5.0
GONE_TIME = 2.0
LONGEST_LINE = 16 * 1024
LARGEST_LOG = 64 << 20
"""Times in seconds: delay before a restart (doubled up to the longest, forgotten after a steady run), time to
end by itself, time for the kernel to clear a killed namespace. Sizes in bytes."""

PROGRAM_DEPTH = 2
"""Generations from the process we start to the program: see `child.confined`."""


class Running:
    """The process of one child, if any, and what is wanted of it. All times are monotonic seconds."""

    def __init__(self, child: Child, owner: Account, say: Callable[[str, str], None]) -> None:
        self.child = child
        self.state: State = "waiting"
        self.starts = 0
        self.last_exit: int | None = None
        self.output: int | None = None
        self.control: socket.socket | None = None
        self._owner = owner
        self._say = say
        self._process: process.Handle | None = None
        self._wanted = True
        self._reload = False
        self._line = b""
        self._started = 0.0
        self._deadline = 0.0
        self._delay = FIRST_DELAY

    @property
    def pid(self) -> int | None:
        """The program's own process id as we see it; None while there is none."""
        return _descendant(self._process.pid, PROGRAM_DEPTH) if self._process else None

    @property
    def over(self) -> bool:
        """Nothing of it runs."""
        return self._process is None

    def step(self, now: float) -> None:
        """Do what is due."""
        if self._process is not None:
            self._watch(self._process, now)
        elif now >= self._deadline and self._may_start():
            self._start(now)

    def due(self, now: float) -> float:
        """Seconds until `step` has something to do that no event announces."""
        if self.state in ("starting", "stopping"):
            return 0.05
        if self._process is not None or not self._wanted:
            return 5.0
        return max(self._deadline - now, 0.0) if self._may_start() else 1.0

    def _may_start(self) -> bool:
        return self._wanted and (self.child.needs is None or self.child.needs.exists())

    def reload(self) -> None:
        """Let it run with its newest files: SIGHUP, as soon as the program can take it; a start, if it was stopped."""
        self._wanted = self._reload = True
        if self.state == "ready":
            self._signal_reload()

    def restart(self, now: float) -> None:
        """End it if it runs, and start it at once."""
        self._wanted = True
        self._delay, self._deadline = FIRST_DELAY, now
        if self._process is not None:
            self._ask_to_end(now)

    def stop(self, now: float) -> None:
        """End it and leave it ended."""
        self._wanted = False
        if self._process is not None:
            self._ask_to_end(now)
        else:
            self.state = "stopped"

    def read(self) -> None:
        """Take what it has written and pass it on line by line."""
        if self.output is None:
            return
        try:
            data = os.read(self.output, 1 << 16)
        except BlockingIOError:
            return
        *lines, self._line = (self._line + data).split(b"\n")
        if not data or len(self._line) > LONGEST_LINE:
            lines, self._line = [*lines, self._line], b""
        for line in lines:
            self._heard(_harmless(line.decode(errors="replace").rstrip("\r")))
        if not data:
            self._close_output()

    def hear(self) -> list[str]:
        """The command lines that it sent to the supervisor since the last time."""
        if self.control is None:
            return []
        try:
            message = self.control.recv(LONGEST_LINE)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            message = b""
        if not message:
            self._close_control()
        return message.decode(errors="replace").splitlines()

    def _heard(self, line: str) -> None:
        if line:
            self._say(self.child.name, line)
        if self.state == "starting" and self.child.says is not None and self.child.says in line:
            self._ready()

    def _configured(self) -> bool:
        try:
            if self.child.configure is not None:
                self.child.configure()
        except (MusterError, OSError) as error:
            self._say("muster", f"{self.child.name} cannot be configured: {error}")
            return False
        return True

    def _start(self, now: float) -> None:
        if not self._configured():
            self._retry(now)
            return
        reading, writing = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict(self.child.environment)
        descriptors = [theirs.fileno()] if self.child.controls else []
        if self.child.controls:
            environment[CONTROL_FD] = str(theirs.fileno())
        owner = Account(0, 0) if self.child.root else self._owner
        argv = confined(self.child.argv, owner, self.child.capabilities)
        try:
            self._process = process.start(argv, stdout=writing, stderr=writing, env=environment, pass_fds=descriptors)
        except CommandError as error:
            self._say("muster", str(error))
            self._retry(now)
            os.close(reading)
            ours.close()
            return
        finally:
            os.close(writing)
            theirs.close()
        os.set_blocking(reading, False)
        ours.setblocking(False)
        self.output, self.control = reading, ours
        self.state, self._started, self._reload = "starting", now, False
        self.starts += 1

    def _watch(self, running: process.Handle, now: float) -> None:
        if running.poll() is not None:
            self._ended(running.returncode, now)
        elif self.state == "stopping" and now >= self._deadline:
            running.kill()
        elif self.state == "starting" and self.child.answers is not None and _accepts(self.child.answers):
            self._ready()
        elif self.state == "ready" and self.child.log is not None:
            self._bound_log(self.child.log)

    def _ended(self, status: int, now: float) -> None:
        """The wrapper is gone; the end of its output says that the whole namespace is, and its ports are free."""
        if self.state != "stopping" and self._deadline <= self._started:
            self._deadline = now + GONE_TIME
        if self.output is not None and now < self._deadline:
            return
        self._close_output()
        self._close_control()
        asked = self.state == "stopping"
        self._process, self.last_exit = None, status
        if asked:
            self.state, self._deadline = ("waiting" if self._wanted else "stopped"), now
        else:
            self._say("muster", f"{self.child.name} ended with status {status}")
            self._retry(now)

    def _retry(self, now: float) -> None:
        if now - self._started > STEADY:
            self._delay = FIRST_DELAY
        self.state, self._deadline = "failed", now + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _ready(self) -> None:
        self.state = "ready"
        if self._reload:
            self._signal_reload()

    def _signal_reload(self) -> None:
        self._reload = False
        if self._configured():
            self._signal(signal.SIGHUP)

    def _ask_to_end(self, now: float) -> None:
        if self.state != "stopping":
            self.state, self._deadline = "stopping", now + STOP_TIME
            if not self._signal(signal.SIGTERM) and self._process is not None:
                self._process.kill()

    def _signal(self, number: signal.Signals) -> bool:
        pid = self.pid
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def _bound_log(self, path: Path) -> None:
        try:
            large = path.lstat().st_size > LARGEST_LOG
        except FileNotFoundError:
            return
        if large:
            try:
                path.rename(path.with_name(f"{path.name}.1"))
            except OSError as error:
                self._say("muster", f"cannot rename {path}: {error.strerror}")
            else:
                self._signal(signal.SIGUSR1)

    def _close_control(self) -> None:
        if self.control is not None:
            self.control.close()
            self.control = None

    def _close_output(self) -> None:
        if self.output is not None:
            os.close(self.output)
            self.output = None


def _harmless(line: str) -> str:
    """What strangers made a program say must not command the terminal that shows it."""
    return "".join(each if each.isprintable() or each == "\t" else "?" for each in line)


def _descendant(pid: int, depth: int) -> int | None:
    """The only child's only child, `depth` generations down (proc(5), /proc/PID/task/TID/children)."""
    for _ in range(depth):
        try:
            found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if not found:
            return None
        pid = int(found[0])
    return pid


def _accepts(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=0.2):
            return True
    except OSError:
        return False
