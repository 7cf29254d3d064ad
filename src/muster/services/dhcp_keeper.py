"""Keeps dnsmasq at what the world says: writes its two files and tells the supervisor, once a burst of changes.

Runs in the app, without root; the supervisor's control channel takes the signals to dnsmasq.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.host.files import write_atomic
from muster.model.errors import MusterError
from muster.services import dnsmasq
from muster.services.dnsmasq import DhcpHost, DhcpNetwork

QUIET_SECONDS = 0.1
"""How long a burst of changes may gather before dnsmasq is told."""

log = logging.getLogger("muster.dhcp")


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


class DhcpKeeper:
    """`wanted` gives the tables as of now, the same object while they are the same; `tell` sends one command
    to the supervisor."""

    def __init__(
        self,
        files: DnsmasqFiles,
        wanted: Callable[[], Tables],
        tell: Callable[[str], None],
    ) -> None:
        self._files = files
        self._wanted = wanted
        self._tell = tell
        self._hosts: Sequence[DhcpHost] | None = None
        self._settled: Tables | None = None
        self._asked = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="dhcp-keeper", daemon=True)

    def start(self) -> None:
        """Write the files once now, then after every `poke`."""
        self._settle()
        self._thread.start()

    def poke(self) -> None:
        """Something changed; returns at once."""
        self._asked.set()

    def close(self) -> None:
        self._closing = True
        self._asked.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            self._asked.wait()
            if self._closing:
                return
            threading.Event().wait(QUIET_SECONDS)
            self._asked.clear()
            try:
                self._settle()
            except (MusterError, OSError):
                log.exception("dnsmasq's files could not be brought up to date; the next change tries again")

    def _settle(self) -> None:
        now = self._wanted()
        if now is self._settled:
            return
        networks, hosts = now.networks, now.hosts
        if not networks:
            self._hosts = None
            (self._files.folder / dnsmasq.CONFIG).unlink(missing_ok=True)
            self._tell("stop dnsmasq")
            self._settled = now
            return
        config = dnsmasq.render_config(networks, self._files.port, self._files.folder, self._files.tftp)
        # The hosts first: the supervisor starts dnsmasq as soon as there is a configuration.
        hosts_changed = _replace(self._files.folder / dnsmasq.HOSTS, dnsmasq.render_hosts(hosts))
        config_changed = _replace(self._files.folder / dnsmasq.CONFIG, config)
        if config_changed or (hosts_changed and self._restart_for(networks, hosts)):
            self._tell("restart dnsmasq")
        elif hosts_changed:
            self._tell("reload dnsmasq")
        self._hosts, self._settled = hosts, now

    def _restart_for(self, networks: Sequence[DhcpNetwork], hosts: Sequence[DhcpHost]) -> bool:
        if self._hosts is None:  # we do not know what the running dnsmasq has leased
            return True
        pools = [network.pool for network in networks if network.pool]
        return dnsmasq.needs_restart(self._hosts, hosts, pools)


def _replace(path: Path, text: str) -> bool:
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomic(path, data)
    return True
