"""The requester's side of a render worker: start it, ask it, end it when it takes too long."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from muster.host import process
from muster.overlays.frames import FrameError, read_frame, write_frame


class WorkerDiedError(Exception):
    """It ended, or was killed for taking too long; `at` is the entry it was working on, if it had begun."""

    def __init__(self, at: int | None, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


class WorkerProcess:
    """One worker process and its two pipes; `served` once it has answered."""

    ARGV = (sys.executable, "-P", "-m", "muster.overlays.worker")

    def __init__(self) -> None:
        request_end, ours = os.pipe()
        answers, answer_end = os.pipe()
        try:
            self._process = process.start(self.ARGV, stdin=request_end, stdout=answer_end)
        except BaseException:
            os.close(ours)
            os.close(answers)
            raise
        finally:
            os.close(request_end)
            os.close(answer_end)
        self.served = False
        self._requests = os.fdopen(ours, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb")

    def ask(self, request: bytes, seconds: float) -> dict[str, Any]:
        """Send a request, wait for its answer. Raises WorkerDiedError; the worker is gone then."""
        at: int | None = None
        with self._deadline(seconds) as expired:
            try:
                write_frame(self._requests, request)
                while True:
                    frame = read_frame(self._answers)
                    if not isinstance(frame, dict):
                        raise FrameError("not an object")
                    if "at" not in frame:
                        self.served = True
                        return frame
                    at = int(frame["at"])
            except FrameError:
                status = self.end()
                raise WorkerDiedError(at, _why(status, seconds, expired.is_set())) from None
            except BaseException:
                self.end()
                raise

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the worker when the block takes longer; the event tells that this happened."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()
            timer.join()

    def end(self) -> int:
        """Kill it if it still runs, wait, close the pipes; the exit status, negative for a signal."""
        self._process.kill()
        status = self._process.wait()
        self._requests.close()
        self._answers.close()
        return status


def _why(status: int, seconds: float, expired: bool) -> str:
    if expired:
        return f"takes longer than {seconds:g} s"
    return f"ends the render worker (status {status})"
