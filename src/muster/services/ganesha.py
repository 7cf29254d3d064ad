"""The configuration of nfs-ganesha, for one address; and what runs it. Rendering has no I/O.

Tried with 4.3: it needs neither root nor rpcbind nor D-Bus. Of capabilities it needs CAP_DAC_READ_SEARCH alone, to
open files by their handles (open_by_handle_at(2)); with it it also reads what is closed to others, which a live tree
needs. One process listens on one address. It says once that it cannot register itself: that is rpcbind, not used.

A handle carries the number of its export and the id of the file system, so that it outlives the server. There is no
grace period: nobody writes, so nobody has a lock to reclaim, and a server that was restarted answers at once.
On SIGHUP it reads its exports again (ganesha-export-config(8)); nodes with open files of other exports notice nothing.
"""

import ipaddress
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from muster.host.files import write_atomic
from muster.host.paths import Paths
from muster.model.errors import MusterError, RequestError
from muster.services import nfs
from muster.services.nfs import Export

PROGRAM = "ganesha.nfsd"
PLUGINS = (Path("/usr/lib/x86_64-linux-gnu/ganesha"), Path("/usr/lib/aarch64-linux-gnu/ganesha"))
FILE_SYSTEM = "libfsalvfs.so"
MTAB = Path("/etc/mtab")
"""Where it looks for the file systems of its exports (mtab(5)); some small systems lack it."""

CONNECTIONS = 10_000
"""The most it takes; each node holds one."""

LEASE = 20
"""Seconds. A Linux client that lost its server knocks again after half of it at the latest; idle, it asks as often."""

FSID = int.from_bytes(b"must")
LIVE_SECONDS = 0
"""How long it may answer from memory about a file of a live tree: the nodes remember long enough themselves."""


_HEAD = """\
# Written by muster serve from the networks and images of its store.
NFS_CORE_PARAM {{
	Protocols = 4;
	Bind_addr = {address};
	NFS_Port = {port};
	Enable_UDP = false;
	Enable_NLM = false;
	Enable_RQUOTA = false;
	Clustered = false;
	RPC_Max_Connections = {connections};
	Plugins_Dir = "{plugins}";
}}
NFSv4 {{
	Minor_Versions = 1, 2;
	Graceless = true;
	Lease_Lifetime = {lease};
	RecoveryBackend = fs;
	RecoveryRoot = "{work}";
	Only_Numeric_Owners = true;
}}
NFS_KRB5 {{
	Active_krb5 = false;
	CCacheDir = "{work}";
}}
LOG {{
	Components {{
		DBUS = FATAL;
		NFS_CB = FATAL;
		INIT = MAJ;
		MAIN = WARN;
		THREAD = WARN;
		FSAL = WARN;
		TIRPC = WARN;
	}}
	Format {{
		date_format = none;
		time_format = none;
		EPOCH = false;
		HOSTNAME = false;
		PROGNAME = false;
		PID = false;
		THREAD_NAME = false;
		FILE_NAME = false;
		LINE_NUM = false;
		FUNCTION_NAME = false;
	}}
}}
EXPORT_DEFAULTS {{
	Access_Type = None;
	Protocols = 4;
	Transports = TCP;
	SecType = sys;
	Squash = all_squash;
}}
"""


def installed() -> Path | None:
    """The folder of its plugins, when it and its plugin for local file systems are on this machine."""
    if shutil.which(PROGRAM) is None:
        return None
    return next((folder for folder in PLUGINS if (folder / FILE_SYSTEM).is_file()), None)


def addresses(listen: Sequence[str]) -> list[str]:
    """The addresses of muster.yaml's `listen` on which nodes mount: IPv4, as the networks are."""
    hosts = [each.rpartition(":")[0].strip("[]") for each in listen]
    found = [host for host in hosts if ipaddress.ip_address(host).version == 4]
    return ["0.0.0.0"] if "0.0.0.0" in found else found


def config_file(paths: Paths, address: str) -> Path:
    return paths.run / f"ganesha-{address}.conf"


def command(paths: Paths, address: str) -> tuple[str, ...]:
    """It in the foreground, its log on standard output."""
    pid = paths.ganesha / f"{address}.pid"
    return (PROGRAM, "-F", "-L", "STDOUT", "-p", str(pid), "-f", str(config_file(paths, address)))


def write(paths: Paths, address: str, port: int) -> None:
    """Write the configuration for what the app asks for now. Run as root. MusterError when it asks for nothing."""
    wanted, plugins = nfs.read(paths), installed()
    if wanted is None or plugins is None:
        raise MusterError("nothing to export" if plugins else f"{PROGRAM} is gone from this machine")
    if not MTAB.exists():
        raise MusterError(f"{PROGRAM} exports nothing without {MTAB}", hint=f"ln -s ../proc/self/mounts {MTAB}")
    text = render(address, port, paths.ganesha / address, plugins, nfs.exports(paths, wanted))
    write_atomic(config_file(paths, address), text.encode())


def render(address: str, port: int, work: Path, plugins: Path, exports: Sequence[Export]) -> str:
    """The whole configuration. RequestError without a network: what names no client would be open to none or all."""
    if not all(export.networks for export in exports):
        raise RequestError("no network may mount anything", hint="muster network add")
    head = _HEAD.format(address=address, port=port, work=work, plugins=plugins, connections=CONNECTIONS, lease=LEASE)
    return "\n".join([head, *map(_export, exports)])


def _export(export: Export) -> str:
    return "\n".join(
        [
            "EXPORT {",
            f"\tExport_Id = {export.number};",
            f"\tFilesystem_Id = {FSID}.{export.number};",
            f'\tPath = "{export.folder}";',
            f'\tPseudo = "{export.seen}";',
            *([f"\tAttr_Expiration_Time = {LIVE_SECONDS};"] if export.whole else []),
            "\tFSAL {",
            "\t\tName = VFS;",
            "\t}",
            *_clients(export),
            "}\n",
        ]
    )


def _clients(export: Export) -> Iterator[str]:
    yield "\tCLIENT {"
    yield f"\t\tClients = {', '.join(str(network) for network in export.networks)};"
    yield "\t\tProtocols = 4;"
    yield "\t\tAccess_Type = RO;"
    yield f"\t\tSquash = {'no_root_squash' if export.whole else 'all_squash'};"
    yield "\t}"
