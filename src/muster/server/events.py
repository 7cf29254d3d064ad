"""Waking held requests: when the world changes, and when we stop."""

import asyncio
from collections.abc import Callable

from muster.model.world import World
from muster.store.database import Store

MAX_WAIT = 55.0
"""Seconds that a request is held at most: below every proxy's time limit."""


class Events:
    """Make it in the event loop that serves; the store may commit from any thread."""

    def __init__(self, store: Store) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._at_close: list[Callable[[], None]] = []
        self.closing = False
        store.subscribe(self._committed)

    def next(self) -> asyncio.Event:
        """What the next commit sets. Take it before looking at the world: a commit in between is not missed."""
        return self._changed

    async def changed(self, event: asyncio.Event, timeout: float) -> bool:
        """Wait for the commit of `next`, at most `timeout` seconds; False when time ran out or we are closing."""
        if self.closing:
            return False
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            return False
        return not self.closing

    def at_close(self, end: Callable[[], None]) -> None:
        """Call `end` when everything that is held is to end."""
        self._at_close.append(end)

    def close(self) -> None:
        """Let every held request end."""
        self.closing = True
        self._wake()
        for end in self._at_close:
            end()

    def _committed(self, _world: World) -> None:
        if not self.closing:  # else the loop may be gone
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()
