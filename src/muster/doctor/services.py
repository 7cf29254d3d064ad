"""Configuration and services: can they be read, would they start, do they run, do they answer."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import muster
from muster import settings
from muster.boot import ipxe_static
from muster.client import Client, ClientError
from muster.doctor.finding import Finding, Patient, ok, problem, warning
from muster.host import files, process
from muster.model import urls
from muster.model.errors import CommandError, ConflictError, MusterError
from muster.services import dnsmasq, loaders, nfs, nginx
from muster.services.child import nfs_names
from muster.services.nfs import Service
from muster.services.supervise import LOCK, STATE
from muster.store.snapshot import read_world

ANSWER_SECONDS = 3.0
_START = "systemctl start muster, or muster serve in a terminal"


def configuration(patient: Patient) -> Iterator[Finding]:
    """muster.yaml can be read and names a user that exists; only root may write it."""
    try:
        settings.read(patient.paths.config)
    except MusterError as error:
        yield problem(error.where or str(patient.paths.config), error.message, error.hint or "mend that line")
        return
    if patient.owner is None and patient.settings is not None:
        yield problem(f"{patient.paths.config}: user", f"no user {patient.settings.user!r}", "muster init makes it")
    if patient.paths.config.stat().st_mode & 0o022:
        yield problem(str(patient.paths.config), "others than its owner may write it", "chmod go-w")


def objects(patient: Patient) -> Iterator[Finding]:
    """The store can be read."""
    try:
        read_world(patient.paths.store)
    except MusterError as error:
        yield problem(error.where, error.message, error.hint or "muster serve says more; restore the last backup")


def services(patient: Patient) -> Iterator[Finding]:
    """The supervisor runs, and its children are ready (run/supervisor.json)."""
    if not _is_served(patient):
        yield problem("muster serve", "it does not run", _START)
        return
    file = patient.paths.run / STATE
    for child in json.loads(file.read_text())["children"]:
        name, state, last = str(child["name"]), str(child["state"]), child["last_exit"]
        look = "journalctl -u muster, or the terminal of muster serve"
        if state == "ready" and int(child["starts"]) > 1 and last not in (0, None):
            yield warning(name, f"ready, after {child['starts']} starts; last exit status {last}", look)
        elif state == "ready":
            yield ok(name, "ready")
        elif name == "dnsmasq" and not patient.leased:
            yield ok(name, "not needed: no network has mode own")
        elif name in _nfs_names(patient) and not (patient.paths.run / nfs.WANTED).exists():
            yield ok(name, "not needed: no node or profile has root nfs or tmpfs, or there is no network")
        else:
            yield problem(name, f"{state}" + (f", last exit status {last}" if last is not None else ""), look)


def answers(patient: Patient) -> Iterator[Finding]:
    """The app answers administrators and is of this release."""
    try:
        found = Client(patient.paths.socket, timeout=ANSWER_SECONDS).get(urls.API_VERSION_INFO)
    except ClientError:
        yield problem(str(patient.paths.socket), "no controller answers on it", _START)
        return
    running = found.get("version") if isinstance(found, dict) else None
    if running != muster.__version__:
        yield warning("app", f"release {running} runs, {muster.__version__} is installed", "systemctl restart muster")


def nginx_configuration(patient: Patient) -> Iterator[Finding]:
    """nginx accepts what we would render now; rendered and tested aside."""
    if patient.settings is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        folders = nginx.NginxFolders(run=run, blobs=patient.paths.blobs, tftp=patient.paths.tftp)
        text = nginx.render(patient.settings.listen, patient.settings.app_port, "k" * 32, folders, workers=1)
        (run / "nginx.conf").write_text(text)
        tested = _test(["nginx", "-t", "-e", "stderr", "-p", folder, "-c", str(run / "nginx.conf")])
    if tested:
        yield problem(
            "nginx", tested.replace(folder, str(patient.paths.nginx)), "see the checks above it; else report it"
        )


def dnsmasq_configuration(patient: Patient) -> Iterator[Finding]:
    """dnsmasq accepts the configuration that it runs with."""
    file = patient.paths.dnsmasq / dnsmasq.CONFIG
    if file.is_file() and (tested := _test(["dnsmasq", "--test", f"--conf-file={file}"])):
        yield problem(str(file), tested, "muster serve writes it from the networks: look at those named in it")


def loader_files(patient: Patient) -> Iterator[Finding]:
    """What firmware fetches is there and is what the distribution's package and this release have."""
    again = "systemctl restart muster lays it anew"
    for name in (loaders.BIOS, loaders.UEFI):
        ours, theirs = patient.paths.tftp / name, loaders.IPXE / name
        if not theirs.is_file():
            yield problem(str(theirs), "the loader is not on this machine", "apt-get install ipxe")
        elif not ours.is_file():
            yield problem(str(ours), "missing: no firmware can start", again)
        elif files.sha256_file(ours) != files.sha256_file(theirs):
            yield warning(str(ours), f"differs from {theirs}", again)
    script = patient.paths.tftp / loaders.SCRIPT
    if patient.settings is not None and not script.is_file():
        yield problem(str(script), "missing: loaders do not find the controller", again)
    elif patient.settings is not None and script.read_text() != ipxe_static.render(patient.settings.port):
        yield problem(str(script), "is not for this release and port", again)


def _is_served(patient: Patient) -> bool:
    """Whether somebody holds the supervisor's lock."""
    lock = patient.paths.run / LOCK
    if not lock.is_file() or not (patient.paths.run / STATE).is_file():
        return False
    try:
        with files.locked(lock):
            return False
    except ConflictError:
        return True


def _nfs_names(patient: Patient) -> tuple[str, ...]:
    """What the children that serve NFS may be called."""
    servers = (Service("kernel"), Service("ganesha"))
    return tuple(name for each in servers for name in nfs_names(patient.settings, each)) if patient.settings else ()


def _test(argv: list[str]) -> str:
    """Empty when the program likes its file, else its last words."""
    try:
        tested = process.run(argv, check=False, timeout=10, env={"LC_ALL": "C"})
    except CommandError as error:
        return error.message
    if tested.status == 0:
        return ""
    lines = [line for line in tested.stderr.decode(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if "emerg" in line or "error" in line.lower()] or lines[-1:]
    return "; ".join(line.partition("] ")[2] or line for line in told)[:500]
