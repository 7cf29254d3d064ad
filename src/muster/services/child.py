"""What the supervisor starts, as data: the programs of `muster serve` are equals and differ only here."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from muster.host.paths import Paths
from muster.services import dnsmasq, ganesha, kernel_nfs, nfs
from muster.services.nfs import Service
from muster.services.prepare import Account
from muster.settings import Settings

CONTROL_FD = "MUSTER_SUPERVISOR_FD"
KEY = "MUSTER_KEY"
NFS = "MUSTER_NFS"
NGINX_CONFIG = "nginx.conf"
KERNEL_NFS = "kernel-nfs"


@dataclass(frozen=True)
class Child:
    """One program, run in the foreground without root and with only these `capabilities` (as setpriv names them).

    `root`: it keeps root's user id, for files of root, but has no more capabilities than these either.

    Ready when it accepts TCP on `answers` (host, port), or has said `says` in a line of its output.
    `needs`: it starts by itself only once this file is there. `commands`: the app may reload, restart and
    stop it. `controls`: it gets the supervisor's ear (CONTROL_FD). `log`: a file that it reopens on SIGUSR1.
    `configure`: what the supervisor does, as root, before each start and reload; MusterError or OSError put it off.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    answers: tuple[str, int] | None = None
    says: str | None = None
    needs: Path | None = None
    commands: bool = False
    controls: bool = False
    log: Path | None = None
    root: bool = False
    configure: Callable[[], None] | None = None


def children(paths: Paths, settings: Settings, key: str, service: Service) -> tuple[Child, ...]:
    """The app, nginx, dnsmasq and what serves NFS on one controller, in the order of starting.

    `key` is drawn for this run; `service` was chosen for it.
    """
    host, _, port = settings.listen[0].rpartition(":")
    config = paths.dnsmasq / dnsmasq.CONFIG
    return (
        Child(
            "app",
            (sys.executable, "-m", "muster.daemon", "--prefix", str(paths.prefix)),
            environment={KEY: key, NFS: service.to_text(), "PYTHONUNBUFFERED": "1", "HOME": str(paths.state)},
            answers=("127.0.0.1", settings.app_port),
            controls=True,
        ),
        Child(
            "nginx",
            ("nginx", "-e", "stderr", "-p", str(paths.nginx), "-c", str(paths.run / NGINX_CONFIG)),
            answers=(host.strip("[]"), int(port)),
            log=paths.nginx / "access.log",
        ),
        Child(
            "dnsmasq",
            ("dnsmasq", "--keep-in-foreground", f"--conf-file={config}"),
            environment={"LC_ALL": "C"},  # what it says is not translated
            capabilities=("net_bind_service", "net_raw", "net_admin"),
            says="started, version",
            needs=config,
            commands=True,
        ),
        *_nfs(paths, settings, service),
    )


def nfs_names(settings: Settings, service: Service) -> tuple[str, ...]:
    """The names of the children that serve NFS."""
    if service.server == "kernel":
        return (KERNEL_NFS,)
    return tuple(f"ganesha-{address}" for address in _ganesha_addresses(settings, service))


def _nfs(paths: Paths, settings: Settings, service: Service) -> Iterator[Child]:
    needs = paths.run / nfs.WANTED
    if service.server == "kernel":
        yield Child(
            KERNEL_NFS,
            (sys.executable, "-m", "muster.services.kernel_nfs", "--prefix", str(paths.prefix)),
            environment={"PYTHONUNBUFFERED": "1"},
            capabilities=("sys_admin",),  # for the mounts that open the way to a live tree
            says=kernel_nfs.SETTLED,
            needs=needs,
            commands=True,
            root=True,
        )
    names = nfs_names(settings, service)
    for name, address in zip(names, _ganesha_addresses(settings, service), strict=False):
        yield Child(
            name,
            ganesha.command(paths, address),
            environment={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"},
            capabilities=("dac_read_search",),
            answers=(address, service.port),
            needs=needs,
            commands=True,
            configure=partial(ganesha.write, paths, address, service.port),
        )


def _ganesha_addresses(settings: Settings, service: Service) -> list[str]:
    return ganesha.addresses(settings.listen) if service.server == "ganesha" else []


def confined(argv: Sequence[str], owner: Account, capabilities: Sequence[str]) -> list[str]:
    """The command that runs `argv` as `owner` and lets nothing of it outlive us.

    Reading from the left: the outer unshare dies with the thread that started it; with it dies process 1 of
    a PID namespace of its own, which is the inner unshare, still root, so that no change of user takes its
    death signal away; and the kernel ends everything else in that namespace (tried with SIGKILL).
    """
    granted = ",".join(["-all", *(f"+{each}" for each in capabilities)])
    return [
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "unshare", "--fork"),
        *("setpriv", "--reuid", str(owner.uid), "--regid", str(owner.gid), "--clear-groups", "--no-new-privs"),
        *(f"--inh-caps={granted}", f"--ambient-caps={granted}", f"--bounding-set={granted}"),
        *argv,
    ]
