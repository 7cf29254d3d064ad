"""Keeps dnsmasq at what the world says: writes its two files and tells the supervisor, once a burst of changes.

A third file says which two dnsmasq was told of last: an app that is killed between writing and telling leaves the
telling to the next one.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.host.files import write_atomic
from muster.services import dnsmasq
from muster.services.dnsmasq import DhcpHost, DhcpNetwork
from muster.services.keeper import Keeper, holds, replace

TOLD = "told"
"""The file in `Paths.dnsmasq` with the sha256 of what dnsmasq was told of last."""


@dataclass(frozen=True)
class Tables:
    """What DHCP must answer: the networks we lease on and the hosts we know."""

    networks: tuple[DhcpNetwork, ...]
    hosts: tuple[DhcpHost, ...]


@dataclass(frozen=True)
class DnsmasqFiles:
    """Where dnsmasq's files lie and what its configuration names: the HTTP port and the TFTP folder."""

    folder: Path
    tftp: Path
    port: int


class DhcpKeeper(Keeper):
    """`wanted` gives the tables as of now, the same object while they are the same; `tell` sends one command
    to the supervisor."""

    def __init__(
        self,
        files: DnsmasqFiles,
        wanted: Callable[[], Tables],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__("dhcp")
        self._files = files
        self._wanted = wanted
        self._tell = tell
        self._hosts: Sequence[DhcpHost] | None = None
        self._settled: Tables | None = None

    def settle(self) -> None:
        now = self._wanted()
        if now is self._settled:
            return
        networks, hosts = now.networks, now.hosts
        if not networks:
            self._hosts = None
            (self._files.folder / TOLD).unlink(missing_ok=True)
            (self._files.folder / dnsmasq.CONFIG).unlink(missing_ok=True)
            self._tell("stop dnsmasq")
            self._settled = now
            return
        config = dnsmasq.render_config(networks, self._files.port, self._files.folder, self._files.tftp)
        hosts_text = dnsmasq.render_hosts(hosts)
        known, self._hosts = self._hosts, None
        # The hosts first: the supervisor starts dnsmasq as soon as there is a configuration.
        replace(self._files.folder / dnsmasq.HOSTS, hosts_text)
        config_changed = replace(self._files.folder / dnsmasq.CONFIG, config)
        digest = hashlib.sha256(f"{config}\0{hosts_text}".encode()).hexdigest()
        if not holds(self._files.folder / TOLD, digest):
            restart = config_changed or _needs_restart(known, networks, hosts)
            self._tell("restart dnsmasq" if restart else "reload dnsmasq")
            write_atomic(self._files.folder / TOLD, digest.encode())
        self._hosts, self._settled = hosts, now


def _needs_restart(
    known: Sequence[DhcpHost] | None, networks: Sequence[DhcpNetwork], hosts: Sequence[DhcpHost]
) -> bool:
    if known is None:  # we do not know what the running dnsmasq has leased
        return True
    return dnsmasq.needs_restart(known, hosts, [network.pool for network in networks if network.pool])
