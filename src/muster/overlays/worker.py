"""The program `python -P -m muster.overlays.worker`: renders what comes in on stdin until stdin ends.

Before the first request it gives away what it does not need: its environment, root, memory above a bound, and every
system call but those for computing. What a template could still do by breaking out of the sandbox is burn a little
time.
"""

import dataclasses
import os
import pprint
import resource
import signal
import sys
import time
from typing import IO, cast

import jinja2.debug

from muster.overlays.frames import FrameError, read_frame, write_frame
from muster.overlays.sandbox import FaultError, Job, OverrunError, Request
from muster.overlays.seccomp import only_compute

MEMORY = 256 << 20
CPU_SECONDS = 2.0
CPU_OF_A_LIFE = 600
CPU_TO_RETIRE = 300
NOBODY = 65534
IMPORTED_LATE_BY_JINJA = (jinja2.debug, pprint)
WARM_TEMPLATE = "{% for i in ['\\n'] %}{{ i.x.y|tojson|upper }}{% endfor %}"


def main() -> None:
    """Serve requests; ends with status 0 when stdin does or after long service, 1 after a fault that leaves doubt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _overrun)
    warm_up()
    confine()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while time.process_time() < CPU_TO_RETIRE:
        try:
            healthy = serve(cast(Request, read_frame(requests)), answers)
        except FrameError:
            return
        if not healthy:
            sys.exit(1)


def serve(request: Request, answers: IO[bytes]) -> bool:
    """Answer one request; False when this worker should not serve another. Raises FrameError when nobody listens."""
    start_clock()
    try:
        laid = Job(request, lambda number: write_frame(answers, {"at": number})).run()
    except FaultError as fault:
        stop_clock()
        write_frame(answers, {"fault": dataclasses.asdict(fault)})
        return not fault.fatal
    stop_clock()
    write_frame(answers, {"laid": laid})
    return True


def warm_up() -> None:
    """Make Jinja2 import what it imports late, errors included: after confine() no file can be opened."""
    entry = {"overlay": "-", "file": "-", "path": "-", "template": WARM_TEMPLATE}
    for _ in range(2):
        try:
            Job({"includes": {}, "entries": [entry], "context": {}}, lambda _: None).run()
        except FaultError:
            continue


def confine() -> None:
    """Give up everything that rendering does not need; there is no way back for this process."""
    os.environ.clear()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_OF_A_LIFE),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(limit, (value, value))
    only_compute()


def start_clock() -> None:
    """An OverrunError comes after CPU_SECONDS; what cannot be interrupted is killed by the requester."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def stop_clock() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)


def _overrun(_number: int, _frame: object) -> None:
    raise OverrunError(f"takes longer than {CPU_SECONDS:g} s of CPU time")


if __name__ == "__main__":
    main()
