"""A real kernel and our initramfs, started by QEMU without firmware or loader, against a server of answers.

The kernel is Debian's cloud kernel, fetched once by apt-get. One machine at a time.
"""

import gzip
import hashlib
import io
import os
import shlex
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from muster.host import cpio, process
from muster.images import initramfs, kits, verity
from muster.model.kits import KITS, VERITY
from muster.model.objects import Verity
from tests.node.webserver import Request, Server, blob, text

MAC = "52:54:00:12:34:56"
BOOT = "00112233445566aa"
SECONDS = 60
CACHE = Path(os.environ.get("MUSTER_CACHE", "/var/cache/muster")) / "test-kernel"
Lines = dict[str, str | list[str]]
"""Lines of a plan: a key with a list is repeated."""


@dataclass
class Tiny:
    """What the machine boots from: kernel, initramfs, a squashfs with its verity data, kits and more modules."""

    kernel: Path
    initramfs: Path
    image: bytes
    verity: Verity
    kits: dict[str, bytes]
    extra: bytes

    @property
    def table(self) -> str:
        """The verity line of a plan."""
        return " ".join(str(getattr(self.verity, n)) for n in ("data_blocks", "hash_start_block", "root_hash", "salt"))


def kernel_tree() -> Path:
    """An unpacked cloud kernel with its modules indexed."""
    if not (CACHE / "tree").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        query = ["apt-cache", "depends", "--important", "linux-image-cloud-amd64"]
        name = next(w for w in process.run(query).text.split() if w.startswith("linux-image-6"))
        process.run(["apt-get", "-q", "download", name], cwd=CACHE)
        process.run(["dpkg-deb", "-x", next(CACHE.glob("*.deb")), CACHE / "half"])
        process.run(["depmod", "-b", CACHE / "half", release_of(CACHE / "half")])
        (CACHE / "half").rename(CACHE / "tree")
    return CACHE / "tree"


def release_of(tree: Path) -> str:
    return next((tree / "lib/modules").iterdir()).name


def make_tiny(tree: Path, root: Path, bench: Path) -> Tiny:
    """The initramfs of the kernel in `tree`, and an image of the files in `root`."""
    release = release_of(tree)
    initramfs.modules_segment(tree, release, bench / "modules", bench / "extra")
    initramfs.node_segment(bench / "node", release="test")
    with (bench / "initramfs").open("wb") as whole:
        whole.write((bench / "modules").read_bytes() + (bench / "node").read_bytes())
        cpio.write(whole, [_haste()])
    image = bench / "root.squashfs"
    process.run(["mksquashfs", root, image, "-comp", "zstd", "-quiet", "-no-progress"])
    table = verity.append(image)
    packed = {name: kits.make(kits.files(name), bench / name).read_bytes() for name in KITS}
    extra = (bench / "extra").read_bytes()
    return Tiny(tree / f"boot/vmlinuz-{release}", bench / "initramfs", image.read_bytes(), table, packed, extra)


def _haste() -> cpio.Entry:
    """The node's side without the waiting between two tries."""
    console = (initramfs.NODE / "console.sh").read_text()
    return cpio.file("lib/muster/console.sh", f"{console}\ndraw() {{ seconds=0.5; }}\n".encode())


def overlay() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("etc/hello", b"overlay"), ("etc/.wh.unwanted", b""), ("var/run/from-overlay", b"yes")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def promised(word: str, data: bytes, url: str) -> Lines:
    """How a plan names a blob."""
    return {f"{word}.sha256": hashlib.sha256(data).hexdigest(), f"{word}.size": str(len(data)), f"{word}.url": url}


def kit_lines(server: Server, tiny: Tiny, *names: str) -> list[str]:
    """How a plan names kits."""
    base = f"http://10.0.2.2:{server.server_port}/kit"
    found = ((name, tiny.kits[name]) for name in names)
    return [f"{name} {hashlib.sha256(data).hexdigest()} {len(data)} {base}/{name}" for name, data in found]


def plan(server: Server, tiny: Tiny, laid: bytes, changes: Lines | None = None) -> str:
    """The plan of a node in mode `ram`, with changes; an empty list takes a line away."""
    base = f"http://10.0.2.2:{server.server_port}"
    lines: Lines = {
        "muster-plan": "1",
        "boot": BOOT,
        "digest": "1111111111111111",
        "token": "secret",
        "now": str(int(time.time())),
        "action": "run",
        "url.plan": f"{base}/plan",
        "url.report": f"{base}/report",
        "url.heartbeat": f"{base}/heartbeat",
        "url.overlay": f"{base}/overlay",
        "node": "n1",
        "interface": f"boot0 {MAC}",
        "image": "tiny@0",
        "mode": "ram",
        **promised("root", tiny.image, f"{base}/blob"),
        "verity": tiny.table,
        "kit": kit_lines(server, tiny, VERITY),
        "upper": "50%",
        "overlay.sha256": hashlib.sha256(laid).hexdigest(),
        "overlay.size": str(len(laid)),
        "init": "/sbin/init",
    }
    repeated = ((key, [v] if isinstance(v, str) else v) for key, v in {**lines, **(changes or {})}.items())
    return "".join(f"{key}\t{value}\n" for key, values in repeated for value in values)


class Console:
    """A machine's serial line: what it printed, and a way to type."""

    def __init__(self, log: Path, typed: int) -> None:
        self.log = log
        self._typed = typed

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace").replace("\r", "")

    def wait(self, words: str, seconds: float = SECONDS) -> str:
        until = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < until, f"no {words!r} on the console:\n{self.text[-4000:]}"
            time.sleep(0.1)
        return self.text

    def type(self, line: str) -> None:
        os.write(self._typed, f"{line}\n".encode())


@dataclass
class Guest:
    """A shell on the console of a running node."""

    console: Console
    _asked: int = field(default=0)

    def __call__(self, command: str, seconds: float = 30) -> str:
        """What a command prints, both outputs."""
        return self.finish(self.begin(command), seconds)

    def begin(self, command: str) -> str:
        """Start a command, to be finished later."""
        self._asked += 1
        # written so that the echo of what is typed is not taken for what is printed
        self.console.type(f'echo "=beg""in {self._asked}="; {{ {command}; }} 2>&1; echo "=e""nd {self._asked}="')
        return str(self._asked)

    def finish(self, asked: str, seconds: float = 30) -> str:
        said = self.console.wait(f"=end {asked}=", seconds)
        return said.partition(f"=begin {asked}=\n")[2].partition(f"=end {asked}=")[0].strip()


@contextmanager
def machine(
    tiny: Tiny, server: Server, folder: Path, *arguments: str, devices: tuple[str, ...] = ()
) -> Iterator[Console]:
    """A machine that is on until the end of the block, with kernel arguments and QEMU's options for more devices."""
    words = f"console=ttyS0 quiet panic=-1 muster.server=http://10.0.2.2:{server.server_port}"
    append = " ".join([words, f"BOOTIF=01-{MAC.replace(':', '-')}", *arguments])
    log = folder / "console.log"
    argv = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "512", "-no-reboot", "-nodefaults"),
        *("-display", "none", "-kernel", str(tiny.kernel), "-initrd", str(tiny.initramfs), "-append", append),
        *("-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile="),
        *("-chardev", f"stdio,id=c,logfile={log},signal=off", "-serial", "chardev:c"),
        *devices,
    ]
    log.touch()
    (folder / "command").write_text(shlex.join(argv) + "\n")
    read, write = os.pipe()
    with (folder / "qemu.log").open("wb") as errors:
        vm = process.start(argv, stdin=read, stdout=errors, stderr=errors)
    os.close(read)
    try:
        yield Console(log, write)
    finally:
        os.close(write)
        vm.kill()
        vm.wait()


def reports(server: Server) -> list[tuple[str, str, str]]:
    """Stage, status and message of each report, in order; percentages left out."""
    found = []
    for request in list(server.seen):
        if request.path == "/report":
            said = dict(line.split("\t", 1) for line in request.body.splitlines())
            found.append((said["stage"], said["status"], said.get("message", "")))
    return [report for report in found if report[1] != "progress"]


def heartbeats(server: Server) -> list[dict[str, str]]:
    return [dict(lines) for lines in told(server)]


def told(server: Server) -> list[list[tuple[str, str]]]:
    """Keys and values of each heartbeat, in order; some keys are repeated."""
    bodies = (r.body for r in list(server.seen) if r.path.startswith("/heartbeat"))
    return [[(key, value) for key, _, value in (line.partition("\t") for line in b.splitlines())] for b in bodies]


def beat(request: Request) -> None:
    """A held answer, as the controller gives it."""
    if "wait=0" not in request.path:
        time.sleep(20)
    request.reply(200, b"sequence\t1\n")


def serve(server: Server, tiny: Tiny, laid: bytes, first: str | None = None) -> None:
    whole = plan(server, tiny, laid)
    server.answers = {
        "/node/1/hello": [text(first or whole)],
        "/plan": [text(whole)],
        "/report": [text("", 204)],
        "/overlay": [lambda r: r.reply(200, laid, kind="application/gzip")],
        "/heartbeat": [beat],
        "/blob": [blob(tiny.image)],
        **{f"/kit/{name}": [blob(data)] for name, data in tiny.kits.items()},
    }
