"""What a check looks at, and what it says: a level, where, what is wrong, what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from muster.host.paths import Paths
from muster.model.objects import Network
from muster.model.world import World
from muster.services.prepare import Account
from muster.settings import Settings

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One result. `where` names the file, port, interface, node; `hint` says what to do."""

    level: Level
    where: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Patient:
    """One controller as it lies and runs on this machine.

    `settings`, `owner` and `world` are None when they cannot be read, which a check of their own says.
    `same_network`: this process is in the controller's network namespace, so looking at the network tells something.
    """

    paths: Paths
    settings: Settings | None
    owner: Account | None
    world: World | None
    same_network: bool = True
    offline: bool = False
    deep: bool = False

    def lacks(self, needs: tuple[str, ...]) -> str:
        """Those of `settings` and `world` that are needed and cannot be read, in words; empty when none."""
        words = {"settings": "muster.yaml", "world": "the store"}
        return " and ".join(words[each] for each in needs if getattr(self, each) is None)

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(self.world.all(Network)) if self.world else ()

    @property
    def leased(self) -> tuple[Network, ...]:
        """The networks on which we answer DHCP."""
        return tuple(network for network in self.networks if network.mode == "own")


Look = Callable[[Patient], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """A named look at the patient. Saying nothing means that all is well; `fine` says that in words."""

    name: str
    look: Look
    fine: str
    network: bool = False
    """Makes sense only in the controller's network namespace."""

    needs: tuple[str, ...] = ()
    """Of `settings` and `world`, what it cannot do without."""


def ok(where: str, message: str) -> Finding:
    return Finding("ok", where, message)


def warning(where: str, message: str, hint: str = "") -> Finding:
    return Finding("warning", where, message, hint)


def problem(where: str, message: str, hint: str = "") -> Finding:
    return Finding("problem", where, message, hint)
