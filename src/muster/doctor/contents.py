"""What the controller keeps: secrets, blobs, versions; and nodes that are odd among each other."""

import ipaddress
import json
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from muster.doctor.finding import Finding, Patient, problem, warning
from muster.doctor.network import some
from muster.images.kits import files as kit_files
from muster.model.cascade import Cascade, effective
from muster.model.errors import MusterError, NotFoundError
from muster.model.kits import KITS
from muster.model.objects import Blob, Node, Version
from muster.services.prepare import TOKEN_KEY
from muster.store.blobs import Blobs


def secrets(patient: Patient) -> Iterator[Finding]:
    """Nobody but the services' user and root reads a secret."""
    folder = patient.paths.secrets
    if not (folder / TOKEN_KEY).is_file():
        yield problem(str(folder / TOKEN_KEY), "missing: nodes get no tokens", "muster init draws one")
    for path in (folder, *sorted(folder.rglob("*"))) if folder.is_dir() else ():
        found = path.lstat()
        if found.st_mode & 0o077 and not stat.S_ISLNK(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            yield problem(
                str(path), f"mode {mode:04o}: others may read it", f"chmod go= {path}; then change the secret"
            )
        if patient.owner is not None and found.st_uid not in (0, patient.owner.uid):
            hint = f"chown {patient.owner.uid} {path}; then change the secret"
            yield problem(str(path), f"it belongs to user id {found.st_uid}, not to the services' user", hint)


def blobs(patient: Patient) -> Iterator[Finding]:
    """Every blob that a version names is there and has its length (`--deep`: and its hash)."""
    if patient.world is None:
        return
    for version in patient.world.all(Version):
        wrong = [words for blob in version.blobs if (words := _wrong(patient, blob))]
        if wrong:
            hint = f"nodes of it cannot boot: muster image pack {version.image}, or import it again"
            yield problem(f"version {version.name}", "; ".join(wrong), hint)


def node_segment(patient: Patient) -> Iterator[Finding]:
    """The part of the initramfs that is ours is there."""
    yield from _built(patient, "node segment", "node-segment", "no node can boot")


def kits(patient: Patient) -> Iterator[Finding]:
    """The programs that some roots need are installed, and packed for the nodes."""
    for name in KITS:
        try:
            kit_files(name)
        except MusterError as error:
            yield warning(f"kit {name}", f"{error.message}: nodes that need it wait", error.hint)
            continue
        yield from _built(patient, f"kit {name}", f"kit-{name}", "nodes that need it wait")


def _built(patient: Patient, what: str, file: str, harm: str) -> Iterator[Finding]:
    """What the app builds at its start, and remembers in `file`, is there; `harm` is what its absence does."""
    remembered = patient.paths.state / f"{file}.json"
    again = "systemctl restart muster builds it anew"
    try:
        known = json.loads(remembered.read_text())
        wrong = _wrong(patient, Blob(sha256=known["sha256"], size=known["size"]))
    except FileNotFoundError:
        yield problem(str(remembered), f"not built yet: {harm}", again)
        return
    except (OSError, ValueError, KeyError) as error:
        yield problem(str(remembered), f"cannot be read: {error}", again)
        return
    if wrong:
        yield problem(what, wrong, again)


def nodes(patient: Patient) -> Iterator[Finding]:
    """Nodes that are declared in a way that cannot be meant."""
    if patient.world is None:
        return
    yield from _shared_power(patient)
    cascade = Cascade(patient.world)
    bare = [node.name for node in patient.world.all(Node) if not cascade.image(node)]
    if bare:
        yield warning("nodes", f"no image is set: {some(bare)}", "muster node set NAME image=..., or in a profile")
    subnets = [ipaddress.ip_network(network.subnet) for network in patient.networks]
    strangers = [
        node.name
        for node in patient.world.all(Node)
        if (own := [ipaddress.ip_interface(i.address).ip for i in node.interfaces if i.address])
        and not any(address in subnet for address in own for subnet in subnets)
    ]
    if strangers:
        hint = "muster network list; DHCP answers them in none of these"
        yield warning("nodes", f"no address in any network: {some(strangers)}", hint)


def _shared_power(patient: Patient) -> Iterator[Finding]:
    """Two nodes with one BMC: switching one switches the other."""
    assert patient.world is not None
    owners: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for node in patient.world.all(Node):
        if node.power is not None and node.power.address:
            try:
                power = effective(patient.world, node).settings.power
            except NotFoundError:
                continue
            if power is not None and power.address:
                machine = (power.user or node.name) if power.driver == "lab" else ""
                owners[(str(power.driver), power.address, machine)].append(node.name)
    for (_, address, _), names in owners.items():
        if len(names) > 1:
            yield warning(
                f"power {address}", f"several nodes have it: {some(names)}", "muster node set NAME power.address="
            )


def _wrong(patient: Patient, blob: Blob) -> str:
    """What is wrong with a blob, or nothing."""
    store = Blobs(patient.paths.blobs)
    if patient.deep:
        try:
            store.verify(blob)
        except MusterError as error:
            return error.message
        return ""
    path: Path = store.path(blob.sha256)
    if not path.is_file():
        return f"blob {blob.sha256} is missing"
    size = path.stat().st_size
    return "" if size == blob.size else f"blob {blob.sha256} has {size} bytes, not {blob.size}"
