"""Orders to running nodes: one word each, carried to the agent by its heartbeat, its result brought back by the next.

They live in memory and belong to one boot: what nobody waits for any more, or whose boot has ended, is dropped, and no
node does today what somebody gave up on yesterday. What the words mean is the agent's; it takes no others.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from muster.boot.heartbeat import Done

FREE, STALE = "free", "stale"


@dataclass
class Order:
    """One order to one boot. Whoever waits for its end holds a share of it; `told`: the agent was sent it."""

    id: str
    boot: str
    word: str
    end: "Future[Done | None]" = field(default_factory=Future)
    """What the node said; None when its boot ended, or the controller stopped, before it did."""
    told: bool = False
    waiting: int = 1


class Orders:
    """What the nodes are asked to do now, at most one thing each. Any thread may ask."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._lock = threading.Lock()
        self._open: dict[str, Order] = {}
        self._listeners: list[Callable[[str], None]] = []

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the boot's id when there is an order for it, from the thread that gave it."""
        self._listeners.append(listener)

    def put(self, boot: str, word: str) -> Order | None:
        """Order this; who orders what is ordered already shares it. None while the node is busy with another order."""
        with self._lock:
            order = self._open.get(boot)
            if order is not None:
                if order.word != word:
                    return None
                order.waiting += 1
                return order
            order = self._open[boot] = Order(self._new_id(), boot, word)
            order.end.set_running_or_notify_cancel()  # who waits for it cannot cancel it for the others
        for listener in tuple(self._listeners):
            listener(boot)
        return order

    def of(self, boot: str) -> Order | None:
        """What this boot shall do now."""
        with self._lock:
            return self._open.get(boot)

    def done(self, boot: str, done: Done) -> None:
        """A node says how an order ended. What it was not asked, or what nobody waits for any more, is ignored."""
        with self._lock:
            order = self._open.get(boot)
            if order is None or order.id != done.order:
                return
            del self._open[boot]
        order.end.set_result(done)

    def leave(self, order: Order) -> None:
        """Wait for it no longer; with the last who waits the order goes."""
        with self._lock:
            order.waiting -= 1
            if order.waiting == 0 and self._open.get(order.boot) is order:
                del self._open[order.boot]

    def drop(self, boot: str) -> None:
        """This boot has ended: whoever waits is told."""
        with self._lock:
            order = self._open.pop(boot, None)
        if order is not None:
            order.end.set_result(None)

    def close(self) -> None:
        """The controller stops."""
        with self._lock:
            orders, self._open = list(self._open.values()), {}
        for order in orders:
            order.end.set_result(None)
