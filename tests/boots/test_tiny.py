"""A real kernel, our initramfs, a tiny image: from power-on to ready, against a server of answers."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boots import direct
from tests.boots.direct import BOOT, MAC, Tiny, heartbeats, machine, overlay, reports, serve
from tests.node.webserver import Server, blob, missing, serving, text

pytestmark = pytest.mark.boot

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


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    bench = tmp_path_factory.mktemp("tiny")
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
    return direct.make_tiny(direct.kernel_tree(), root, bench)


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
