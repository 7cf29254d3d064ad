"""The only door to time. Tests give the composition root a clock of their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, both in seconds."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """This machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
