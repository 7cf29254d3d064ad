"""The NFS service: is there a server for it, has it its port, and does it show nodes what they need?"""

from collections.abc import Iterator

from muster.doctor.finding import Finding, Patient, ok, problem
from muster.doctor.network import holder_of, links, own_addresses
from muster.model.errors import MusterError
from muster.model.objects import Image, Network
from muster.model.roots import needs_nfs
from muster.services import ganesha, kernel_nfs, nfs
from muster.services.nfs import Service
from muster.services.nfs_ask import NfsSession

SECONDS = 3.0


def service(patient: Patient) -> Service:
    """Who would serve, were muster started now."""
    if patient.settings is None:
        return Service()
    installed = ganesha.installed() is not None
    return nfs.choose(patient.settings.nfs, patient.settings.nfs_port, kernel_nfs.found(), ganesha=installed)


def is_needed(patient: Patient) -> bool:
    return patient.world is not None and needs_nfs(patient.world)


def answers(patient: Patient) -> Iterator[Finding]:
    """Asked as a node would: on each network, for the folder of blobs and for every tree that nodes may boot."""
    if not is_needed(patient):
        yield ok("nfs", "not needed: no node or profile has root nfs or tmpfs")
        return
    serving = service(patient)
    if serving.server is None:
        yield problem("nfs", f"nobody serves nodes with root nfs or tmpfs: {serving.reason}")
        return
    if serving.server == "ganesha":
        yield holder_of(patient, "tcp", serving.port)
    live = [image.name for image in patient.world.all(Image) if image.live] if patient.world else []
    for name in live:
        if not patient.paths.live_mark(name).is_file():
            again = f"muster image live {name}"
            yield problem(f"image {name}", "nodes may boot its tree, but root did not open it", again)
    present = own_addresses(links())
    for network in patient.networks:
        if network.address in present:  # else the check of interfaces says so
            yield _asked(patient, network, serving, live)


def _asked(patient: Patient, network: Network, serving: Service, live: list[str]) -> Finding:
    where = f"network {network.name}: {network.address} port {serving.port}"
    folders = [nfs.blobs_folder(patient.paths), *(nfs.live_folder(patient.paths, name) for name in live)]
    try:
        with NfsSession(network.address, serving.port, source=network.address, timeout=SECONDS) as session:
            for folder in folders:
                session.find(str(folder))
    except (MusterError, OSError) as error:
        return problem(where, f"{serving.server} does not serve it: {error}", "see the check of services, and ports")
    return ok(where, f"{serving.server} answers, {len(folders)} folders")
