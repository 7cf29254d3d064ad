"""A serial console on this terminal, until Ctrl-]; it stays attached while the machine is switched off and on."""

import contextlib
import os
import select
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

from muster.host import files
from muster.lab.plan import Lab

ESCAPE = b"\x1d"
RETRY = 0.5
CHUNK = 4096
SHOWN_BEFORE = 2000
"""How many bytes of the past an attached console begins with."""


def attach(lab: Lab, name: str) -> None:
    """Until Ctrl-] or the end of standard input. ConflictError: another console is attached to this machine."""
    folder = lab.machine_folder(lab.machine(name).name)
    with files.locked(folder / "console.lock", holder="another console"), _raw(sys.stdin.fileno()):
        _tell(f"console of {name}; end with Ctrl-]")
        log = lab.console_log(name)
        seen = max(0, _size(log) - SHOWN_BEFORE)
        while (line := _waited_for(lab.console(name), name)) is not None:
            with line:
                _write(_between(log, seen, _size(log)))
                if not _carry(line):
                    break
            seen = _size(log)
            _tell(f"{name} was switched off")


def _waited_for(path: Path, name: str) -> socket.socket | None:
    """A connection to the console as soon as the machine is on; None when the person left before."""
    told = False
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            line.connect(str(path))
            return line
        except OSError:
            line.close()
        if not told:
            _tell(f"{name} is off; waiting")
            told = True
        if _left(RETRY):
            return None


def _left(seconds: float) -> bool:
    """Whether the person leaves within the time; what else is typed meanwhile is dropped."""
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        readable, _, _ = select.select([sys.stdin], [], [], rest)
        if readable:
            typed = os.read(sys.stdin.fileno(), CHUNK)
            if not typed or ESCAPE in typed:
                return True
    return False


def _carry(line: socket.socket) -> bool:
    """Bytes both ways; False when the person leaves, True when the machine went away."""
    while True:
        readable, _, _ = select.select([line, sys.stdin], [], [])
        if line in readable:
            try:
                said = line.recv(CHUNK)
            except OSError:
                return True
            if not said:
                return True
            _write(said)
        if sys.stdin in readable:
            typed = os.read(sys.stdin.fileno(), CHUNK)
            before, escape, _ = typed.partition(ESCAPE)
            with contextlib.suppress(OSError):
                line.sendall(before)
            if escape or not typed:
                return False


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _between(log: Path, start: int, end: int) -> bytes:
    """What the machine said before we were attached; some bytes around that moment may come twice."""
    if end <= start:
        return b""
    with log.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


def _tell(text: str) -> None:
    sys.stderr.write(f"[{text}]\r\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """The terminal passes every key on; set back at the end. Nothing to do when it is no terminal."""
    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
