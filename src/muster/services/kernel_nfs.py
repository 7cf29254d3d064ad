"""Our exports in the site's own NFS server, the one in the kernel; the site's are never touched.

Ours stand in a file of our own, /etc/exports.d/muster.exports, so that the site's `exportfs -r` and a restart of its
server keep them; and each is added and taken away by its name (`exportfs -o`, `exportfs -u`), because `exportfs -r`
would drop what the site exported by hand. The file is written before an export is added and after one was taken
away: whatever happens in between, it names all that is ours.

The end of this program alone takes nothing away, for nodes run from it: they must not notice that Muster is being
restarted. What goes is what is not wanted any more, which the app says by its file.

Nodes reach a live tree under another name than its own (`Export.seen`): the server walks to it as nobody, whom the
folder of the images is closed to. That name is a bind mount. Our unit has mounts of its own, which nobody else sees:
under systemd, systemd makes and ends them.

Standard library and muster.host only: the tests run it on a machine that has nothing else.
"""

import hashlib
import re
import shutil
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.host import process
from muster.host.files import write_atomic
from muster.host.paths import Paths
from muster.model.errors import MusterError
from muster.services import nfs
from muster.services.nfs import Export, KernelServer

SETTLED = "exports are as wanted"
LOOK_SECONDS = 5.0
"""How often it looks whether somebody took ours away (`exportfs -ua`)."""

SECONDS = 20.0
"""Time limit of one exportfs, which asks the name service about other clients."""

PROC = Path("/proc")
ETAB = Path("/var/lib/nfs/etab")
EXPORTS_D = Path("/etc/exports.d")
SYSTEMD = Path("/run/systemd/system")
_OPTIONS = "ro,sync,no_subtree_check,secure,sec=sys"
_ENTRY = re.compile(r"(\S+)\s+(\S+?)\((\S*)\)")
_LISTENING = "0A"

Exported = tuple[str, str]
"""Client and path: the name of one export, as exportfs has it."""


@dataclass(frozen=True)
class Steps:
    """What leads from what is exported to what is wanted; `foreign` are wanted ones that the site has already."""

    add: tuple[Exported, ...] = ()
    remove: tuple[Exported, ...] = ()
    foreign: tuple[Exported, ...] = ()


def found(proc: Path = PROC, etab: Path = ETAB) -> KernelServer | None:
    """The NFS server of this kernel and network namespace, when one runs. Run as root (proc/fs/nfsd, nfsd(7))."""
    folder = proc / "fs/nfsd"
    try:
        threads = int((folder / "threads").read_text())
        ports = (folder / "portlist").read_text().splitlines()
        versions = (folder / "versions").read_text().split()
    except (OSError, ValueError):
        return None
    port = next((int(line.split()[1]) for line in ports if line.startswith("tcp ")), 0)
    if threads <= 0 or not port or not _listens(proc, port):
        return None
    if shutil.which("exportfs") is None:
        return KernelServer(port, "exportfs is not on this machine")
    if "+4.1" not in versions and "+4.2" not in versions:
        return KernelServer(port, "the kernel's NFS server has neither 4.1 nor 4.2 enabled (/etc/nfs.conf)")
    if root := root_export(_text(etab)):
        return KernelServer(port, f"the kernel's NFS server shows only what lies below its root {root} (fsid=0)")
    return KernelServer(port)


def root_export(etab: str) -> str:
    """The path that the site exports as the root of all (`fsid=0`), empty when none is: it hides every other path."""
    for path, _, options in _ENTRY.findall(etab):
        if {"fsid=0", "fsid=root"} & set(options.split(",")):
            return str(path)
    return ""


def entries(exports: Sequence[Export]) -> dict[Exported, str]:
    """Each export by its name, with its options (exports(5)). The fsid follows from the path, so it never changes."""
    return {(str(network), str(export.seen)): _options(export) for export in exports for network in export.networks}


def plan(wanted: Mapping[Exported, str], noted: Sequence[Exported], exported: Sequence[Exported]) -> Steps:
    """`noted` are ours by our own file, `exported` is what the server has: what is not noted there is the site's."""
    return Steps(
        add=tuple(each for each in wanted if each not in exported),
        remove=tuple(each for each in noted if each not in wanted),
        foreign=tuple(each for each in wanted if each in exported and each not in noted),
    )


def listed(text: str) -> list[Exported]:
    """The exports in the text of an exports file or of etab, one in a line."""
    return [(client, path) for path, client, _ in _ENTRY.findall(text)]


def render(entries: Mapping[Exported, str]) -> str:
    """Our file, one export in a line."""
    lines = (f"{path} {client}({options})\n" for (client, path), options in sorted(entries.items()))
    return "# Written by muster serve; muster.yaml and muster network, node and image decide.\n" + "".join(lines)


def our_file(paths: Paths) -> Path:
    """The file with our exports; that of another prefix has another name."""
    prefix = str(paths.prefix)
    mark = "" if prefix == "/" else f"-{hashlib.sha256(prefix.encode()).hexdigest()[:8]}"
    return EXPORTS_D / f"muster{mark}.exports"


def settle(paths: Paths) -> str:
    """Export what the app wants now, and nothing else of ours; one sentence on how that went."""
    asked = nfs.read(paths)
    exports = nfs.exports(paths, asked) if asked else ()
    _open_ways(exports)
    foreign = _export(our_file(paths), entries(exports))
    _close_ways(paths, exports)
    kernel = found()
    troubles = ["the kernel's NFS server does not run" if kernel is None else kernel.unfit]
    troubles += [f"{client}:{path} is exported by the site itself: left alone" for client, path in foreign]
    return "; ".join([SETTLED, *filter(None, troubles)])


def withdraw(paths: Paths) -> None:
    """Take away all that is ours, also what an earlier run left."""
    if our_file(paths).exists():
        _export(our_file(paths), {})
    _close_ways(paths, ())


def _export(file: Path, wanted: Mapping[Exported, str]) -> tuple[Exported, ...]:
    """Those of `wanted` that are the site's own come back."""
    noted, exported = listed(_text(file)), listed(_text(ETAB))
    steps = plan(wanted, noted, exported)
    ours = {each: options for each, options in wanted.items() if each not in steps.foreign}
    if not (steps.add or steps.remove) and set(ours) == set(noted):
        return steps.foreign
    EXPORTS_D.mkdir(exist_ok=True)
    write_atomic(file, render({**dict.fromkeys(noted, _OPTIONS), **ours}).encode())
    for each in steps.add:
        process.run(["exportfs", "-o", ours[each], ":".join(each)], timeout=SECONDS)
    for each in steps.remove:
        if each in exported:
            process.run(["exportfs", "-u", ":".join(each)], timeout=SECONDS)
    if ours:
        write_atomic(file, render(ours).encode())
    else:
        file.unlink()
    return steps.foreign


def _options(export: Export) -> str:
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"muster:{export.seen}")
    return f"{_OPTIONS},{'no_root_squash' if export.whole else 'all_squash'},fsid={number}"


def _open_ways(exports: Sequence[Export]) -> None:
    """Mount each tree under the name that nodes use."""
    for export in exports:
        if export.seen != export.folder and export.seen not in _mounted(export.seen.parent):
            export.seen.mkdir(exist_ok=True)
            _in_the_open(["mount", "--bind", str(export.folder), str(export.seen)])


def _close_ways(paths: Paths, exports: Sequence[Export]) -> None:
    """End the mounts that nobody wants."""
    for name in sorted(set(_mounted(paths.nfs)) - {export.seen for export in exports}):
        _in_the_open(["umount", "--lazy", str(name)])  # lazy: nfsd may hold it for a moment yet
        name.rmdir()


def _mounted(folder: Path) -> list[Path]:
    """What is mounted directly below a folder (proc(5), mountinfo)."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in lines)
    return [point for point in points if point.parent == folder]


def _in_the_open(argv: Sequence[str]) -> None:
    """Run a command where the NFS server sees what it mounts."""
    wrapper = ["systemd-run", "--quiet", "--wait", "--collect"] if SYSTEMD.is_dir() else []
    process.run([*wrapper, *argv], timeout=SECONDS)


def _listens(proc: Path, port: int) -> bool:
    """Whether somebody listens on a TCP port of our own network namespace (proc(5)): in a lab nfsd is the host's."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in _text(proc / "net" / table).splitlines()[1:]]
    return any(words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port for words in lines)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m muster.services.kernel_nfs --prefix PREFIX`: until SIGTERM; SIGHUP looks at the app's file at once."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    paths = Paths.of(words[words.index("--prefix") + 1] if "--prefix" in words else None)
    signals = {signal.SIGHUP, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    said = ""
    while True:
        now = _settled(paths)
        if now != said:
            print(now, flush=True)
        said = now
        heard = signal.sigtimedwait(signals, LOOK_SECONDS)
        if heard is not None and heard.si_signo == signal.SIGTERM:
            if not (paths.run / nfs.WANTED).exists():
                print(_settled(paths), flush=True)
            return 0


def _settled(paths: Paths) -> str:
    try:
        return settle(paths)
    except (MusterError, OSError) as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
