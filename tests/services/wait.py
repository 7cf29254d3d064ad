"""Waiting for what another process does, with a limit."""

import time
from collections.abc import Callable


def until(happened: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Return as soon as `happened()` is true; AssertionError after `seconds`."""
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, f"did not happen within {seconds:g} s"
        time.sleep(0.02)
