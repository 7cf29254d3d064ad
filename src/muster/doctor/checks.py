"""All checks, in the order in which a person would look, and the one loop that makes them.

Runs in the process of the command, not in the app: it must work when the app does not.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from muster import settings
from muster.doctor import contents, dhcp, machine, mirrors, network, nfs, services
from muster.doctor.finding import Check, Finding, Patient, ok, problem, warning
from muster.host import ask
from muster.host.paths import Paths
from muster.model.errors import MusterError, UnreachableError
from muster.services.prepare import account
from muster.store.snapshot import read_world

CHECKS = (
    Check("configuration", services.configuration, "muster.yaml is right"),
    Check("store", services.objects, "can be read"),
    Check("programs", machine.programs, "all there"),
    Check("disk", machine.disk, "enough space"),
    Check("clock", machine.clock, "synchronised"),
    Check("limits", machine.limits, "enough open files and buffers"),
    Check("interfaces", network.interfaces, "all there", needs=("settings", "world"), network=True),
    Check("mtu", network.mtu, "right for firmware and nodes", needs=("world",), network=True),
    Check("ports", network.ports, "nobody else has ours", needs=("settings", "world"), network=True),
    Check("loaders", services.loader_files, "there, and as packaged", needs=("settings",)),
    Check("nginx", services.nginx_configuration, "accepts its configuration", needs=("settings",), network=True),
    Check("dnsmasq", services.dnsmasq_configuration, "accepts its configuration"),
    Check("services", services.services, "all ready"),
    Check("app", services.answers, "answers"),
    Check("nfs", nfs.answers, "answers", needs=("settings", "world"), network=True),
    Check("dhcp", dhcp.rogue, "no network on which we answer", needs=("world",), network=True),
    Check("secrets", contents.secrets, "read by nobody else"),
    Check("blobs", contents.blobs, "all that versions name are there", needs=("world",)),
    Check("node segment", contents.node_segment, "there"),
    Check("kits", contents.kits, "all there"),
    Check("nodes", contents.nodes, "nothing odd", needs=("world",)),
    Check("mirrors", mirrors.reachable, "no recipe is used"),
)


@dataclass(frozen=True)
class Result:
    """A finding and the check that made it."""

    check: str
    finding: Finding


def examine(patient: Patient, checks: Sequence[Check] = CHECKS) -> Iterator[Result]:
    """Every check's findings, as they come. A check that itself fails is a finding too."""
    if not patient.same_network:
        yield Result("network", _elsewhere())
    for check in checks:
        if check.network and not patient.same_network:
            continue
        if missing := patient.lacks(check.needs):
            yield Result(check.name, warning(check.name, f"not checked, for want of {missing}", "see above"))
            continue
        said = False
        try:
            for finding in check.look(patient):
                said = True
                yield Result(check.name, finding)
        except (MusterError, OSError, ValueError, KeyError) as error:
            said = True
            yield Result(check.name, problem(check.name, f"could not be checked: {error}", "run it as root"))
        if not said:
            yield Result(check.name, ok(check.name, check.fine))


def patient_of(paths: Paths, *, offline: bool = False, deep: bool = False) -> Patient:
    """What can be known of the controller under these paths; what cannot is None, and a check says why."""
    found = owner = world = None
    with suppress(MusterError):  # the check `configuration` reads it again and says what is wrong
        found = settings.read(paths.config)
        owner = account(found.user)
    with suppress(MusterError):  # likewise the check `store`
        world = read_world(paths.store)
    return Patient(paths, found, owner, world, _same_network(paths), offline, deep)


def _same_network(paths: Paths) -> bool:
    """Whether the running app, if one runs, is in our network namespace (namespaces(7))."""
    try:
        running = Path(f"/proc/{ask.listener(paths.socket, timeout=1)}/ns/net")
        return running.stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
    except (UnreachableError, OSError):
        return True


def _elsewhere() -> Finding:
    return warning(
        "network namespace",
        "the controller runs in another one: nothing of the network was checked",
        "in a lab: muster lab run -- muster doctor",
    )
