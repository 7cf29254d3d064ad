"""Keeps the files of a child program at what the world says: settled once at start, then once a burst of changes.

Runs in the app, without root; the supervisor's control channel takes the signals to the children.
"""

import logging
import threading
from pathlib import Path

from muster.host.files import write_atomic
from muster.model.errors import MusterError

QUIET_SECONDS = 0.1
"""How long a burst of changes may gather before the child is told."""

RETRY_SECONDS = 10.0
"""When a disk that could not be written to is tried again, if no change comes before."""


class Keeper:
    """One thread; `settle` is what it keeps doing."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(f"muster.{name}")
        self._asked = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"{name}-keeper", daemon=True)

    def settle(self) -> None:
        """Write what is wanted now, if it differs, and tell the supervisor. MusterError and OSError are survived."""
        raise NotImplementedError

    def start(self) -> None:
        """Settle once now, then after every `poke`."""
        self.settle()
        self._thread.start()

    def poke(self) -> None:
        """Something changed; returns at once."""
        self._asked.set()

    def close(self) -> None:
        """End it; also one that was never started, because something else failed first."""
        self._closing = True
        self._asked.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        retry: float | None = None
        while True:
            self._asked.wait(retry)
            if self._closing:
                return
            threading.Event().wait(QUIET_SECONDS)
            self._asked.clear()
            retry = None
            try:
                self.settle()
            except MusterError:
                self._log.exception("cannot be what networks, nodes and images say; the next change tries again")
            except OSError as error:
                self._log.error("files cannot be written, tried again in %g s: %s", RETRY_SECONDS, error)
                retry = RETRY_SECONDS


def holds(path: Path, text: str) -> bool:
    """Whether the file is exactly this text."""
    return path.is_file() and path.read_bytes() == text.encode()


def replace(path: Path, text: str) -> bool:
    """Make the file this text; whether it was another."""
    if holds(path, text):
        return False
    write_atomic(path, text.encode())
    return True
