"""A lab's beginning and end, seen from outside: what `muster lab up` and `muster lab down` do."""

import contextlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from muster.host import files, process
from muster.host.ask import ask, listener
from muster.lab import folder, plan, register
from muster.lab.plan import Lab
from muster.lab.qemu import OVMF_CODE, OVMF_VARIABLES
from muster.model.errors import MusterError, RequestError, UnreachableError

PROGRAMS = ("unshare", "setsid", "nsenter", "ip", "qemu-system-x86_64")
PACKAGES = "util-linux iproute2 qemu-system-x86 ovmf ipxe-qemu"
READY_TIME = 60.0
ANSWER_TIME = 20.0
CONTROLLER_TIME = 60.0
"""For a stop or a start of the controller; the root itself gives up before (keeper.py)."""
STOP_TIME = 30.0
KILL_TIME = 10.0
POLL = 0.05
LOG_TAIL = 20


@dataclass(frozen=True)
class Status:
    """What the root says: `state` is starting, ready, failed or stopping; `controller` is running, stopped, starting
    or stopping, or empty in a lab without one."""

    state: str
    message: str
    controller: str
    power: dict[str, str]


def check_host() -> None:
    """RequestError when this machine or this user cannot have a lab; ask before anything else."""
    _check_user()
    programs = [program for program in PROGRAMS if shutil.which(program) is None]
    missing = [*programs, *(str(file) for file in (OVMF_CODE, OVMF_VARIABLES) if not file.exists())]
    if missing:
        raise RequestError(f"missing: {', '.join(missing)}", hint=f"apt install {PACKAGES}")


def up(lab: Lab, *, image: str | None = None, power: bool = True) -> None:
    """Start the lab, wait until its controller answers, register its nodes and switch all machines on.

    On any failure nothing of the lab is left, and the error ends with its last log lines.
    """
    check_host()
    plan.check_paths(lab)
    lock = folder.claim(lab.folder)
    try:
        _begin(lab, lock)
        _wait_until_ready(lab)
        register.register(lab, image)
        if power:
            switch(lab, [machine.name for machine in lab.machines], "on")
    except BaseException:
        down(lab.folder)
        raise


def down(place: Path) -> bool:
    """End the lab in that folder and remove everything of it; False when there was none. Idempotent."""
    _check_user()
    if folder.held(place):
        _end(place)
    if not place.exists():
        return False
    folder.remove(place)
    return True


def status(lab: Lab) -> Status:
    """UnreachableError when the lab's root does not answer."""
    answer = _ask(lab, {"verb": "status"})
    power = cast(dict[str, str], answer["power"])
    return Status(str(answer["state"]), str(answer["message"]), str(answer["controller"]), power)


def switch(lab: Lab, nodes: list[str], action: str) -> None:
    """Power of some machines: on, off, cycle or reset. All are tried; RequestError names the first that failed."""
    _ask(lab, {"verb": "power", "nodes": nodes, "action": action})


def switch_controller(lab: Lab, action: str) -> None:
    """stop: nothing of the controller runs until start, which returns when it answers; machines are left as they are.

    RequestError when it does not come up; it goes on trying.
    """
    _ask(lab, {"verb": "controller", "action": action}, timeout=CONTROLLER_TIME)


def inside(lab: Lab, command: list[str]) -> list[str]:
    """The command that runs `command` inside the lab's namespaces; UnreachableError when the lab is not up."""
    root = listener(lab.socket, timeout=ANSWER_TIME)
    return ["nsenter", "--target", str(root), "--net", "--mount", "--pid", "--wd=.", "--", *command]


def _check_user() -> None:
    if os.geteuid() != 0:
        raise RequestError("a lab lives in namespaces of its own: that needs root", hint="sudo muster lab ...")


def _ask(lab: Lab, question: dict[str, object], timeout: float = ANSWER_TIME) -> dict[str, object]:
    try:
        return ask(lab.socket, question, timeout=timeout)
    except UnreachableError as error:
        hint = (
            f"was it killed? muster lab up --name {lab.name} begins anew, muster lab down --name {lab.name} cleans up"
        )
        raise UnreachableError(f"the lab does not answer: {error.message}", where=error.where, hint=hint) from error


def _begin(lab: Lab, lock: int) -> None:
    """Start the root: detached, holding the folder's lock from its first moment; our own hold ends here."""
    try:
        (lab.folder / "nodes").mkdir(mode=0o700)
        for machine in lab.machines:
            lab.machine_folder(machine.name).mkdir()
        if lab.controller is not None:
            lab.prefix.mkdir(mode=0o755)
        files.write_atomic(lab.folder / "lab.json", plan.to_text(lab).encode(), mode=0o600)
        namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        root = [sys.executable, "-m", "muster.lab.root", str(lab.folder), str(lock)]
        with lab.log.open("wb") as log:
            process.start(
                ["setsid", "--fork", *namespaces, *root], stdout=log, stderr=log, pass_fds=(lock,), cwd=Path("/")
            ).wait()
    finally:
        os.close(lock)


def _wait_until_ready(lab: Lab) -> None:
    end = time.monotonic() + READY_TIME
    while time.monotonic() < end:
        if not folder.held(lab.folder):
            raise _not_started(lab, "its root ended")
        try:
            now = status(lab)
        except UnreachableError:
            now = Status("starting", "", "", {})
        if now.state == "ready":
            return
        if now.state == "failed":
            raise _not_started(lab, now.message)
        time.sleep(POLL)
    raise _not_started(lab, f"the controller does not answer within {READY_TIME:g} s")


def _not_started(lab: Lab, why: str) -> MusterError:
    said = [line for log in (lab.log, lab.folder / "controller.log") for line in _tail(log)]
    return MusterError("\n".join([f"the lab did not start: {why}", *said]), where=str(lab.folder))


def _end(place: Path) -> None:
    """Ask the root to stop; a root that does not is killed, and the kernel ends the rest."""
    socket = place / "lab.sock"
    root = _root(socket, place)
    if root is None:
        return
    with contextlib.suppress(MusterError):
        ask(socket, {"verb": "stop"}, timeout=ANSWER_TIME)
        if folder.wait_until_free(place, timeout=STOP_TIME):
            return
    with contextlib.suppress(ProcessLookupError):
        os.kill(root, signal.SIGKILL)
    if not folder.wait_until_free(place, timeout=KILL_TIME):
        raise MusterError(f"process {root} does not end", where=str(place))


def _root(socket: Path, place: Path) -> int | None:
    """The root's process id, waited for while it starts; None when it ended meanwhile."""
    end = time.monotonic() + KILL_TIME
    while folder.held(place):
        try:
            return listener(socket, timeout=ANSWER_TIME)
        except UnreachableError:
            if time.monotonic() > end:
                raise
        time.sleep(POLL)
    return None


def _tail(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
    except OSError:
        return []
