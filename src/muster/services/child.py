"""What the supervisor starts, as data: the programs of `muster serve` are equals and differ only here."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muster.host.paths import Paths
from muster.services import dnsmasq
from muster.services.prepare import Account
from muster.settings import Settings

CONTROL_FD = "MUSTER_SUPERVISOR_FD"
KEY = "MUSTER_KEY"
NGINX_CONFIG = "nginx.conf"


@dataclass(frozen=True)
class Child:
    """One program, run in the foreground without root and with only these `capabilities` (as setpriv names them).

    Ready when it accepts TCP on `answers` (host, port), or has said `says` in a line of its output.
    `needs`: it starts by itself only once this file is there. `commands`: the app may reload, restart and
    stop it. `controls`: it gets the supervisor's ear (CONTROL_FD). `log`: a file that it reopens on SIGUSR1.
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


def children(paths: Paths, settings: Settings, key: str) -> tuple[Child, ...]:
    """The app, nginx and dnsmasq of one controller, in the order of starting. `key` is drawn for this run."""
    host, _, port = settings.listen[0].rpartition(":")
    config = paths.dnsmasq / dnsmasq.CONFIG
    return (
        Child(
            "app",
            (sys.executable, "-m", "muster.daemon", "--prefix", str(paths.prefix)),
            environment={KEY: key, "PYTHONUNBUFFERED": "1", "HOME": str(paths.state)},
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
    )


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
