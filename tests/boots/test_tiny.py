"""A real kernel, our initramfs, a tiny image: from power-on to ready, against a server of answers.

The kernel is Debian's cloud kernel, fetched once by apt-get. One machine at a time.
"""

import gzip
import hashlib
import io
import os
import shlex
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from muster.host import process
from muster.images import initramfs
from tests.node.webserver import Request, Server, blob, missing, serving, text

pytestmark = pytest.mark.boot

MAC = "52:54:00:12:34:56"
BOOT = "00112233445566aa"
SECONDS = 60
CACHE = Path(os.environ.get("MUSTER_CACHE", "/var/cache/muster")) / "test-kernel"
INIT = """#!/bin/sh
echo "tiny: $(cat /etc/motd) $(cat /etc/hello) init=$$ args=$*"
echo "tiny: removed $([ -e /etc/unwanted ] && echo no || echo yes)"
echo "tiny: through link $(cat /run/from-overlay)"
echo "tiny: net $(cat /sys/class/net/boot0/address) $(ip -4 addr show dev boot0 | grep -c inet)"
echo "tiny: mounts $(grep -c ' /run/muster/lower squashfs ' /proc/mounts) $(grep -c '^root / overlay' /proc/mounts)"
echo "tiny: left $(ps -o comm | sort | uniq -c | tr -s ' \\n' ' _')"
echo "tiny: environment $(env | sort | tr '\\n' ' ')"
while read line; do sh -c "$line"; done
"""


@dataclass
class Tiny:
    """What the machine boots from: kernel, initramfs, a squashfs with an init that tells what it finds."""

    kernel: Path
    initramfs: Path
    image: bytes


@pytest.fixture(scope="module")
def kernel_tree() -> Path:
    """An unpacked cloud kernel with its modules indexed."""
    if not (CACHE / "tree").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        query = ["apt-cache", "depends", "--important", "linux-image-cloud-amd64"]
        name = next(w for w in process.run(query).text.split() if w.startswith("linux-image-6"))
        process.run(["apt-get", "-q", "download", name], cwd=CACHE)
        process.run(["dpkg-deb", "-x", next(CACHE.glob("*.deb")), CACHE / "half"])
        process.run(["depmod", "-b", CACHE / "half", _release(CACHE / "half")])
        (CACHE / "half").rename(CACHE / "tree")
    return CACHE / "tree"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def _release(tree: Path) -> str:
    return next((tree / "lib/modules").iterdir()).name


@pytest.fixture(scope="module")
def tiny(kernel_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    bench = tmp_path_factory.mktemp("tiny")
    release = _release(kernel_tree)
    initramfs.modules_segment(kernel_tree, release, bench / "modules")
    initramfs.node_segment(bench / "node", release="test")
    (bench / "initramfs").write_bytes((bench / "modules").read_bytes() + (bench / "node").read_bytes())
    root = bench / "root"
    for name in ("bin", "sbin", "etc", "var"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "var/run").symlink_to("/run")
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)
    (root / "etc/motd").write_text("image")
    (root / "etc/unwanted").write_text("")
    process.run(["mksquashfs", root, bench / "root.squashfs", "-comp", "zstd", "-all-root", "-quiet", "-no-progress"])
    return Tiny(kernel_tree / f"boot/vmlinuz-{release}", bench / "initramfs", (bench / "root.squashfs").read_bytes())


def overlay() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("etc/hello", b"overlay"), ("etc/.wh.unwanted", b""), ("var/run/from-overlay", b"yes")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def plan(server: Server, tiny: Tiny, laid: bytes, **changes: str) -> str:
    base = f"http://10.0.2.2:{server.server_port}"
    lines = {
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
        "root.sha256": hashlib.sha256(tiny.image).hexdigest(),
        "root.size": str(len(tiny.image)),
        "root.url": f"{base}/blob",
        "upper": "50%",
        "overlay.sha256": hashlib.sha256(laid).hexdigest(),
        "overlay.size": str(len(laid)),
        "init": "/sbin/init",
    }
    return "".join(f"{key}\t{value}\n" for key, value in {**lines, **changes}.items())


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


@contextmanager
def machine(tiny: Tiny, server: Server, folder: Path, *arguments: str) -> Iterator[Console]:
    words = f"console=ttyS0 quiet panic=-1 muster.server=http://10.0.2.2:{server.server_port}"
    append = " ".join([words, f"BOOTIF=01-{MAC.replace(':', '-')}", *arguments])
    log = folder / "console.log"
    argv = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "512", "-no-reboot", "-nodefaults"),
        *("-display", "none", "-kernel", str(tiny.kernel), "-initrd", str(tiny.initramfs), "-append", append),
        *("-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile="),
        *("-chardev", f"stdio,id=c,logfile={log},signal=off", "-serial", "chardev:c"),
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
    return [
        dict(line.split("\t", 1) for line in request.body.splitlines())
        for request in list(server.seen)
        if request.path.startswith("/heartbeat")
    ]


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
    }


def test_a_tiny_image_boots_to_ready(tiny: Tiny, server: Server, tmp_path: Path) -> None:
    laid = overlay()
    serve(server, tiny, laid)
    with machine(tiny, server, tmp_path) as console:
        said = console.wait("tiny: environment")
        until = time.monotonic() + 20
        while not heartbeats(server) and time.monotonic() < until:
            time.sleep(0.1)
        console.type('echo "agent: $(grep -c . /run/muster/agent.pid) $(stat -c %a /run/muster/token)"')
        console.wait("agent: 1 600", 10)
        console.type('kill -TERM "$(cat /run/muster/agent.pid)"')
        while len(heartbeats(server)) < 3 and time.monotonic() < until:
            time.sleep(0.1)
    assert "tiny: image overlay init=1" in said
    assert "tiny: removed yes" in said
    assert "tiny: through link yes" in said
    assert f"tiny: net {MAC} 1" in said
    assert "tiny: mounts 1 1" in said
    assert "tiny: environment HOME=/ PATH=" in said
    assert reports(server) == [
        ("hello", "done", ""),
        ("plan", "done", ""),
        ("download", "start", ""),
        ("download", "done", ""),
        ("verify", "done", ""),
        ("root", "done", ""),
        ("overlay", "done", ""),
        ("handover", "done", ""),
    ]
    states = [beat["state"] for beat in heartbeats(server)]
    assert states[0] == "ready"
    assert states[-1] == "stopping"
    assert "secret" not in said


def test_the_initramfs_of_the_cloud_kernel_is_small(tiny: Tiny) -> None:
    assert tiny.initramfs.stat().st_size < 4_000_000


def test_bad_answers_are_told_and_overcome(tiny: Tiny, server: Server, tmp_path: Path) -> None:
    laid = overlay()
    serve(server, tiny, laid)
    flipped = tiny.image[:100] + bytes([tiny.image[100] ^ 1]) + tiny.image[101:]
    server.answers["/node/1/hello"].insert(0, text("busy\n", 503))
    server.answers["/blob"][:0] = [missing, blob(flipped)]
    server.answers["/overlay"].insert(0, lambda r: r.reply(200, laid[:-1], kind="application/gzip"))
    with machine(tiny, server, tmp_path) as console:
        said = console.wait("tiny: environment")
    assert "hello: the controller answered 503 Service Unavailable: busy; trying again" in said
    assert "/blob: the server answered 404 Not Found" in said
    assert "verify: the bytes are damaged: their sha256 is" in said
    assert f"overlay: {len(laid) - 1} bytes came, the plan promised {len(laid)}; trying again" in said
    failed = [(stage, status) for stage, status, _ in reports(server) if status == "failed"]
    assert failed == [("download", "failed"), ("download", "failed"), ("verify", "failed"), ("overlay", "failed")]


def test_a_machine_waits_until_it_has_a_plan(tiny: Tiny, server: Server, tmp_path: Path) -> None:
    laid = overlay()
    base = f"http://10.0.2.2:{server.server_port}"
    waiting = (
        f"muster-plan\t1\nboot\t{BOOT}\ndigest\t2222222222222222\ntoken\tsecret\naction\twait\n"
        f"reason\tunknown machine\nurl.plan\t{base}/plan\nurl.report\t{base}/report\n"
    )
    serve(server, tiny, laid, first=waiting)
    server.answers["/plan"].insert(0, text(waiting))
    with machine(tiny, server, tmp_path) as console:
        said = console.wait("tiny: environment")
    assert said.count("muster: waiting: unknown machine") == 1
    assert f"this machine: MAC {MAC}, address 10.0.2.15" in said
    assert ("wait", "start", "unknown machine") in reports(server)
    assert "/plan?after=2222222222222222&wait=50" in [request.path for request in server.seen]


def test_a_shell_before_a_stage(tiny: Tiny, server: Server, tmp_path: Path) -> None:
    serve(server, tiny, overlay())
    with machine(tiny, server, tmp_path, "muster.break=hello") as console:
        console.wait("muster#")
        console.type("echo $((40 + 2)) here")
        console.wait("42 here", 10)
        console.type("exit")
        console.wait("tiny: environment")
