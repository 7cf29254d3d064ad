"""The program `python -P -m muster.overlays.worker`: renders what comes in on stdin until stdin ends.

Before the first request it gives away what it does not need: its environment, root, new files and sockets, new
processes, memory above a bound. What a template could still do by breaking out of the sandbox is burn a little time.
"""

import ctypes
import os
import pprint
import resource
import signal
import sys
from typing import IO, cast

import jinja2.debug

from muster.overlays.frames import FrameError, read_frame, write_frame
from muster.overlays.sandbox import FaultError, Job, OverrunError, Request

MEMORY = 256 << 20
CPU_SECONDS = 2.0
CPU_GRACE = 3
NOBODY = 65534
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
IMPORTED_LATE_BY_JINJA = (jinja2.debug, pprint)
WARM_TEMPLATE = "{% for i in ['\\n'] %}{{ i.x.y|tojson|upper }}{% endfor %}"


def main() -> None:
    """Serve requests; ends with status 0 when stdin does, 1 after a fault that leaves the interpreter in doubt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _overrun)
    warm_up()
    confine()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            request = read_frame(requests)
        except FrameError:
            return
        if not serve(cast(Request, request), answers):
            sys.exit(1)


def serve(request: Request, answers: IO[bytes]) -> bool:
    """Answer one request; False when this worker should not serve another."""
    limit_cpu()
    try:
        laid = Job(request, lambda number: write_frame(answers, {"at": number})).run()
    except FaultError as fault:
        stop_clock()
        write_frame(
            answers,
            {"fault": {"overlay": fault.overlay, "file": fault.file, "line": fault.line, "message": fault.message}},
        )
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
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(limit, (value, value))


def limit_cpu() -> None:
    """Start the clock of one request: an exception after CPU_SECONDS, and the kernel's kill a little later."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    spent = int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + int(CPU_SECONDS) + CPU_GRACE, hard))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def stop_clock() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)


def _overrun(_number: int, _frame: object) -> None:
    raise OverrunError(f"takes longer than {CPU_SECONDS:g} s of CPU time")


if __name__ == "__main__":
    main()
