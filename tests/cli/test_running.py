"""What the commands say of running nodes: their root, RAM, troubles, what a reboot would change; free and stale."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from muster.boot.heartbeat import Done, Heartbeat
from muster.controller import images, node_plan
from muster.controller.context import Context
from muster.controller.objects import apply
from muster.store.timelines import Report
from tests.cli.conftest import Muster
from tests.cluster import FakeClock, hello, node, plan_values, version_document
from tests.golden import compare

SERVER = "http://10.77.0.1:9898"
GOLDEN = Path(__file__).parent / "golden"
FULL = "the upper layer is full: 512 of 512 MiB"
Answer = Callable[[str, str], Done | None]


def put(context: Context, *documents: dict[str, object]) -> None:
    context.store.change(lambda world: apply(world, documents), who="test")


def runs(context: Context, name: str, said: Heartbeat | None = None) -> None:
    """The node has booted what it is given now, and its agent says this."""
    plan = plan_values(node_plan.hello(context, hello(name), SERVER))
    boot = context.boots.get(plan["boot"])
    beat = said or Heartbeat("ready", ram_image=64512, ram_upper=12288, ram_own=1536, upper_limit=524288)
    context.boots.heartbeat(boot, replace(beat, uptime=31.5, mode=plan["mode"], image=plan["image"]))
    node_plan.settle(context, boot, plan["digest"], SERVER)


def test_what_is_said_of_running_nodes(muster: Muster, serving: Context, clock: FakeClock, update_golden: bool) -> None:
    put(serving, node("n2", root="nfs", upper_size="512m"))
    full = Heartbeat(
        "ready", ram_image=0, ram_upper=524288, ram_own=1800, upper_limit=524288, troubles=(FULL, "no disk scratch")
    )
    runs(serving, "n1")
    runs(serving, "n2", full)
    put(serving, node("n3", profiles=["compute"]))
    images.register(serving, version_document(kernel="6.2", blobs=serving.blobs), "latest", "test")
    put(serving, node("n1", kernel_arguments=["quiet"]), node("n4"))
    clock.time += 10
    said = [muster("status"), muster("node", "list"), muster("node", "show", "n1"), muster("node", "show", "n2")]
    said.append(muster("node", "list", "n[1-2]", "--columns", "name,root,mode,digest,reboot"))
    assert [s.status for s in said] == [0, 0, 0, 0, 2] and "there is no column 'root'" in said[-1].err
    said[-1] = muster("node", "list", "n[1-2]", "--columns", "name,mode,digest,message")
    compare(GOLDEN / "running/commands.txt", "\n".join(s.out for s in said), update_golden)
    assert said[1].out.index("TROUBLE") <= 100, "room for words on a line of 120"


def test_programs_get_lists_and_numbers(muster: Muster, serving: Context) -> None:
    runs(serving, "n1")
    first, second = json.loads(muster("node", "list", "-o", "json").out)
    assert (first["ram"], first["upper"], first["reboot"], first["mode"]) == (76, "12/512", [], "ram")
    assert (second["ram"], second["reboot"], second["trouble"]) == (None, None, "no boot seen yet")
    assert json.loads(muster("status", "-o", "json").out)["reboot"]["count"] == 0
    words = muster("node", "list", "--columns", "name,ram", "-o", "json").out
    assert json.loads(words) == [{"name": "n1", "ram": 76}, {"name": "n2", "ram": None}]
    assert muster("node", "list", "--columns", "ram", "-o", "name").out == "n1\nn2\n"
    put(serving, node("n1", kernel_arguments=["quiet"], timezone="Europe/Berlin"))
    assert json.loads(muster("node", "list", "n1", "-o", "json").out)[0]["reboot"] == ["overlay"], (
        "no command line told"
    )
    assert yaml.safe_load(muster("node", "show", "n1", "--effective").out)["now"]["reboot"] == [
        "overlay: files of its overlays"
    ]


def test_a_trace_shows_warnings(muster: Muster, serving: Context, clock: FakeClock) -> None:
    runs(serving, "n1")
    boot = serving.boots.of_node("n1")
    assert boot is not None
    serving.boots.report(boot, Report(clock.time, 9.0, "root", "warning", "no disk with the label scratch"))
    said = muster("node", "trace", "n1").out
    assert "root     warning  no disk with the label scratch" in said and ": ready\n" in said
    assert "\nn1 ready: no disk with the label scratch\n" in muster("status").out


@contextmanager
def agents(context: Context, answer: Answer) -> Iterator[None]:
    """Whatever is ordered is answered by `answer(node, word)`; None is no answer."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            for name, boot in context.boots.by_node().items():
                order = context.orders.of(boot.boot)
                if order and (said := answer(name, order.word)):
                    context.orders.done(boot.boot, replace(said, order=order.id))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def done(*lines: str, status: int = 0) -> Done:
    return Done("", status, lines)


def three(context: Context) -> None:
    """n1, n2 and n3 run."""
    from tests.cluster import MAC, UUID

    put(context, node("n3", profiles=["compute"], interfaces=[{"name": "eth0", "mac": "52:54:00:00:00:03"}]))
    runs(context, "n1")
    runs(context, "n2")
    body = hello("n1", boot=3).replace(MAC["n1"].encode(), b"52:54:00:00:00:03").replace(UUID["n1"].encode(), b"")
    plan = plan_values(node_plan.hello(context, body, SERVER))
    context.boots.heartbeat(context.boots.get(plan["boot"]), Heartbeat("ready", mode="ram"))


def test_free(muster: Muster, serving: Context, update_golden: bool) -> None:
    three(serving)
    said: dict[str, Sequence[str]] = {"n3": ("nothing was to be freed; the largest files:", "/root/data 300 MiB")}
    with agents(serving, lambda name, _word: done(*said.get(name, ("/tmp: 12 MiB", "journal: 40 MiB")))):
        all_well = muster("node", "free", "n[1-3]")
        names = muster("node", "free", "n[1-2]", "-o", "name")
    with agents(serving, lambda name, _word: {"n1": done("x", status=1), "n2": done("/tmp: 1 MiB")}.get(name)):
        put(serving, node("n4"))
        begun = time.monotonic()
        some = muster("node", "free", "n[1-4]", "--timeout", "1")
        assert 0.9 < time.monotonic() - begun < 10
        table = muster("node", "free", "n[1-2]", "-o", "json")
    assert (all_well.status, names.out) == (0, "n1\nn2\n")
    assert (some.status, table.status) == (1, 1)
    assert json.loads(table.out)[1] == {"name": "n2", "lines": ["/tmp: 1 MiB"], "error": None}
    compare(GOLDEN / "orders/free.txt", f"{all_well.out}\n{some.out}{some.err}", update_golden)
    assert muster("node", "free", "nobody").status == 2
    assert muster("node", "free", "n1", "--timeout", "0").status == 2
    assert "order free" in muster("audit", "order").out


def test_stale(muster: Muster, serving: Context, update_golden: bool) -> None:
    three(serving)
    assert muster("image", "stale", "debian").out == "no node runs debian@live\n"
    assert muster("image", "stale", "nothing").status == 2
    for name in ("n1", "n2", "n3"):
        boot = serving.boots.of_node(name)
        assert boot is not None
        serving.boots.heartbeat(boot, Heartbeat("ready", mode="nfs", image="debian@live"))
    held = ("own /etc/motd", "open /usr/sbin/sshd 412 sshd", "open /usr/sbin/sshd 413 sshd")
    with agents(serving, lambda name, word: done(*(held if name != "n3" else ())) if word == "stale" else None):
        found, names = muster("image", "stale", "debian"), muster("image", "stale", "debian", "-o", "name")
        rows = json.loads(muster("image", "stale", "debian", "-o", "json").out)
    assert (found.status, names.out) == (0, "n1\nn2\n")
    assert rows[0]["stale"][1] == {"what": "open", "path": "/usr/sbin/sshd", "pid": 412, "command": "sshd"}
    with agents(serving, lambda name, _word: done() if name == "n1" else None):
        late = muster("image", "stale", "debian", "--timeout", "1")
    assert late.status == 1
    compare(GOLDEN / "orders/stale.txt", f"{found.out}\n{late.out}{late.err}", update_golden)
