"""How often what strangers say of themselves may be written down."""

import threading
from collections import deque
from dataclasses import dataclass, field

UPDATE_SECONDS = 600.0
"""A pending machine's inventory is stored anew at most this often, unless the facts that tell it changed."""

UPDATES_AN_HOUR = 600
"""Of all pending machines together, whatever changed."""


@dataclass
class UpdateLimit:
    """Which stored inventories may be replaced now. Times are monotonic seconds; it forgets with the app."""

    _updated: dict[str, float] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allows(self, machine: str, now: float, *, identity: bool) -> bool:
        """Whether this machine's inventory may be stored again; counted when it may."""
        with self._lock:
            while self._recent and self._recent[0] <= now - 3600:
                self._recent.popleft()
            early = now - self._updated.get(machine, -UPDATE_SECONDS) < UPDATE_SECONDS
            if len(self._recent) >= UPDATES_AN_HOUR or (early and not identity):
                return False
            self._updated = {name: at for name, at in self._updated.items() if now - at < UPDATE_SECONDS}
            self._updated[machine] = now
            self._recent.append(now)
            return True
