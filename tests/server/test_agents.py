"""What running nodes say and are told, with agents that speak over the app: sizes, orders, troubles, reboots."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from muster.controller import audit, node_report, node_views
from muster.controller.context import Context
from muster.controller.images import register
from muster.controller.objects import apply
from muster.model import urls
from muster.server.api import api_app
from tests.cluster import PROFILE, SERVER, FakeClock, node, version_document
from tests.server.agent import Agent, client, running
from tests.server.conftest import Nodes, Scenario

Play = Callable[[Scenario], Any]
RAM = {"ram-image": "64512", "ram-upper": "12288", "ram-own": "11264", "upper-limit": "524288"}


async def put(context: Context, *documents: dict[str, object]) -> None:
    await asyncio.to_thread(context.store.change, lambda world: apply(world, documents), who="test")


def row(context: Context, name: str = "n1") -> dict[str, object]:
    return node_views.node_rows(context, name)[0]


def shown_ram(context: Context) -> dict[str, str]:
    now = node_views.show(context, "n1")["now"]
    assert isinstance(now, dict) and isinstance(now["ram"], dict)
    return now["ram"]


def test_a_node_says_what_it_runs_and_what_that_costs(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        agent = await Agent.booted(n)
        agent.said |= RAM
        agent.troubles = ["the upper layer is full: 512 of 512 MiB", "the upper layer is full: 512 of 512 MiB"]
        heard = await agent.beat()
        assert heard.keys() == {"token", "sequence", "upper"} and heard["upper"] == "50%"
        assert "placed" not in shown_ram(controller)
        agent.said["ram-placed"] = "2048"
        await agent.beat()

    nodes(scenario)
    found = row(controller)
    assert (found["mode"], found["running"], found["ram"], found["upper"]) == ("ram", found["version"], 88, "12/512")
    assert found["trouble"] == "the upper layer is full: 512 of 512 MiB"
    assert found["digest"] == version_document()["digest"] and found["reboot"] == ()
    shown = node_views.show(controller, "n1")["now"]
    assert isinstance(shown, dict)
    assert shown_ram(controller) == {
        "image": "63.0 MiB",
        "upper": "12.0 MiB",
        "own": "11.0 MiB",
        "placed": "2.0 MiB",
        "total": "88 MiB",
    }
    assert shown["upper"] == {"used": "12.0 MiB", "limit": "512.0 MiB", "wanted": "50%"} and shown["reboot"] == []


def test_what_makes_no_sense_is_as_if_it_was_not_said(nodes: Play, controller: Context) -> None:
    odd = {"mode": "RAM\x07", "image": "../etc", "plan-digest": "x", "ram-image": "-1", "ram-upper": "9" * 40}

    async def scenario(n: Nodes) -> None:
        agent = await Agent.booted(n)
        agent.said = {**odd, "order": "../../x", "status": "9999"}
        agent.troubles = [f"{i} " + "x" * 400 for i in range(20)]
        await agent.beat()

    nodes(scenario)
    boot = controller.boots.of_node("n1")
    assert boot is not None and boot.heartbeat is not None and boot.heartbeat.done is None
    assert (boot.heartbeat.mode, boot.heartbeat.image, boot.heartbeat.ram_image) == ("", "", None)
    assert len(boot.troubles) == 8 and max(map(len, boot.troubles)) == 200
    assert row(controller)["ram"] is None and row(controller)["mode"] == "ram", "as its plan told it"


def test_a_warning_changes_neither_stage_nor_state(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        await n.post(plan, "url.report", "stage\troot\nstatus\tstart\nuptime\t4\n")
        for _ in range(2):
            warning = "stage\tdownload\nstatus\twarning\nuptime\t4.5\nmessage\tno disk with the label scratch\n"
            assert (await n.post(plan, "url.report", warning)).status_code == 204

    nodes(scenario)
    found = row(controller)
    assert (found["state"], found["stage"], found["trouble"]) == ("booting", "root", "no disk with the label scratch")
    reports = node_views.trace(controller, "n1")["reports"]
    assert isinstance(reports, list)
    told = [(r["stage"], r["status"], r["message"]) for r in reports if r["status"] == "warning"]
    assert told == [("download", "warning", "no disk with the label scratch")], "each once"


def test_the_upper_layer_is_resized_at_once(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        agents = [await Agent.booted(n, "n1"), await Agent.booted(n, "n2")]
        tasks = [await running(agent) for agent in agents]
        await put(controller, node("n1", upper_size="2g"))
        await asyncio.sleep(0.1)
        assert [agent.upper for agent in agents] == ["2g", "50%"]
        assert row(controller)["reboot"] == (), "it needs none"
        await put(controller, {**PROFILE, "upper_size": "512m"})
        await asyncio.sleep(0.1)
        assert [agent.upper for agent in agents] == ["2g", "512m"], "what the node sets itself is not the profile's"
        await put(controller, {"kind": "profile", "name": "default", "upper_size": "1g"})
        for task in tasks:
            assert not task.done()
            task.cancel()

    nodes(scenario)


def test_a_size_that_changed_between_two_heartbeats_is_told_by_the_next(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        agent = await Agent.booted(n)
        await put(controller, node("n1", upper_size="2g"))
        heard = await asyncio.wait_for(agent.beat(wait=50), 3)
        assert heard["upper"] == "2g"

    nodes(scenario)


def test_other_changes_let_a_heartbeat_be(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        task = await running(await Agent.booted(n))
        for change in (node("n2", upper_size="2g"), node("n1", domain="a.example"), {**PROFILE, "timezone": "UTC"}):
            await put(controller, change)
        await put(controller, {"kind": "profile", "name": "other", "upper_size": "1g"})
        looked: list[object] = []
        held = node_report.answer
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(node_report, "answer", lambda *a: (looked.append(a), held(*a))[1])
            await put(controller, node("n1", upper_size="50%"))
            await asyncio.sleep(0.1)
        assert not task.done() and not looked, "the same size as before"
        task.cancel()

    nodes(scenario)


def free(word: str) -> tuple[int, Sequence[str]]:
    assert word == "free"
    return 0, ["/tmp: 12 MiB", "journal: 40 MiB"]


def test_an_order_reaches_held_nodes_and_their_answers_come_back(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> Any:
        agents = [await Agent.booted(n, "n1"), await Agent.booted(n, "n2")]
        agents[0].work, agents[1].work = free, lambda _word: (3, ["no space for that"])
        tasks = [await running(agent) for agent in agents]
        async with client(api_app(controller, SERVER, n.events), os.getuid()) as http:
            begun = time.monotonic()
            answer = await http.post(urls.API_FREE, json={"names": "n[1-2]", "timeout": 20})
            assert time.monotonic() - begun < 5, "nothing is waited for but the nodes"
        await asyncio.sleep(0.1)
        assert [agent.orders for agent in agents] == [["free"], ["free"]], "done once, told once"
        for task in tasks:
            task.cancel()
        return answer.json()

    assert nodes(scenario) == [
        {"name": "n1", "lines": ["/tmp: 12 MiB", "journal: 40 MiB"], "error": None},
        {"name": "n2", "lines": ["no space for that"], "error": "failed with exit status 3"},
    ]
    noted = audit.entries(controller, audit.wanted("node", "n1", None, None, 10))
    assert (noted[0]["verb"], noted[0]["kind"], noted[0]["name"]) == ("order free", "node", "n1")


def test_who_cannot_answer_is_named_with_the_reason(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> Any:
        silent, old = await Agent.booted(n, "n1"), await Agent.booted(n, "n2")
        old.said = {}
        await old.beat()
        await put(controller, node("n3"))
        async with client(api_app(controller, SERVER, n.events)) as http:
            asked = http.post(urls.API_FREE, json={"names": "n[1-3]", "timeout": 0.3})
            answer = await asked
            late = await silent.beat()
            assert "order" not in late, "nobody waits for it any more"
            await silent.beat(done=[("order", "0" * 16), ("status", "0")])
            bad = await http.post(urls.API_FREE, json={"names": "n1", "timeout": 601})
            nobody = await http.post(urls.API_FREE, json={"names": "n99", "timeout": 1})
        assert (bad.status_code, nobody.status_code) == (400, 404)
        return {row["name"]: row["error"] for row in answer.json()}

    assert nodes(scenario) == {
        "n1": "did not answer within 0.3 s",
        "n2": "its agent is of an older release and takes no orders: a reboot renews it",
        "n3": "is not running: its state is never",
    }


@pytest.mark.parametrize("ends", ["stopping", "rebooted", "closed"])
def test_an_order_ends_with_its_boot(nodes: Play, controller: Context, ends: str) -> None:
    async def scenario(n: Nodes) -> Any:
        agent = await Agent.booted(n)
        async with client(api_app(controller, SERVER, n.events)) as http:
            asked = asyncio.ensure_future(http.post(urls.API_FREE, json={"names": "n1", "timeout": 20}))
            await asyncio.sleep(0.2)
            if ends == "stopping":
                await agent.beat("stopping")
            elif ends == "rebooted":
                await n.hello(boot=2)
            else:
                controller.orders.close()
            return (await asyncio.wait_for(asked, 3)).json()

    (told,) = nodes(scenario)
    assert "before it answered" in told["error"]


def test_an_order_is_told_again_until_its_end_was_heard(
    nodes: Play, controller: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_report, "REPEAT_SECONDS", 0.3)

    async def scenario(n: Nodes) -> Any:
        agent = await Agent.booted(n)
        async with client(api_app(controller, SERVER, n.events)) as http:
            asked = asyncio.ensure_future(http.post(urls.API_FREE, json={"names": "n1", "timeout": 20}))
            first = await agent.beat(wait=50)
            begun = time.monotonic()
            again = await agent.beat(wait=50)
            assert first["order"] == again["order"] and 0.2 < time.monotonic() - begun < 3
            done = [("order", again["order"].split(" ")[0]), ("status", "0"), *(("line", f"{i}") for i in range(300))]
            assert "order" not in await agent.beat(done=done)
            return (await asked).json()

    (told,) = nodes(scenario)
    assert told["error"] is None and told["lines"] == [str(i) for i in range(200)], "bounded"


def test_two_who_ask_the_same_share_the_answer_and_another_order_waits_its_turn(
    nodes: Play, controller: Context
) -> None:
    boots = controller.boots

    async def scenario(n: Nodes) -> None:
        agent = await Agent.booted(n)
        boot = boots.of_node("n1")
        assert boot is not None
        first, second = (controller.orders.put(boot.boot, "free") for _ in range(2))
        assert first is second and first is not None and controller.orders.put(boot.boot, "stale") is None
        controller.orders.leave(first)
        assert (await agent.beat())["order"] == f"{first.id} free", "one still waits"
        controller.orders.leave(first)
        assert "order" not in await agent.beat()

    nodes(scenario)


def test_stale_files_of_a_live_image(nodes: Play, controller: Context) -> None:
    lines = ["and 12 more", "own /etc/motd", "open /usr/lib/a b.so 412 sshd", "open /usr/bin/tmux 99 tmux: server"]

    async def scenario(n: Nodes) -> Any:
        agents = [await Agent.booted(n, "n1"), await Agent.booted(n, "n2")]
        agents[0].said |= {"mode": "nfs", "image": "debian@live"}
        agents[0].work = lambda word: (0, lines if word == "stale" else [])
        tasks = [await running(agent) for agent in agents]
        async with client(api_app(controller, SERVER, n.events)) as http:
            answer = await http.post(urls.API_STALE, json={"image": "debian", "timeout": 20})
            unknown = await http.post(urls.API_STALE, json={"image": "nothing", "timeout": 20})
        assert unknown.status_code == 404
        for task in tasks:
            task.cancel()
        return answer.json()

    (told,) = nodes(scenario)
    assert (told["name"], told["error"]) == ("n1", None), "n2 runs a version"
    assert told["stale"] == [
        {"what": "note", "path": "and 12 more"},
        {"what": "own", "path": "/etc/motd"},
        {"what": "open", "path": "/usr/lib/a b.so", "pid": 412, "command": "sshd"},
        {"what": "open", "path": "/usr/bin/tmux", "pid": 99, "command": "tmux: server"},
    ]


def test_status_names_ready_nodes_with_trouble_and_counts_reboots(
    nodes: Play, controller: Context, clock: FakeClock
) -> None:
    async def scenario(n: Nodes) -> None:
        agents = [await Agent.booted(n, "n1"), await Agent.booted(n, "n2")]
        for agent in agents:
            agent.troubles = ["the upper layer is full: 512 of 512 MiB"]
            await agent.beat()
        await asyncio.to_thread(
            register, controller, version_document(kernel="6.2", blobs=controller.blobs), "latest", "x"
        )
        await put(controller, node("n2", image="debian", kernel_arguments=["quiet"]))

    nodes(scenario)
    found = node_views.status(controller)
    assert found["counts"] == {"ready": 2}
    assert found["attention"] == [
        {"nodes": "n[1-2]", "count": 2, "state": "ready", "message": "the upper layer is full: 512 of 512 MiB"}
    ]
    reboot = found["reboot"]
    assert isinstance(reboot, dict) and (reboot["count"], reboot["unknown"]["count"]) == (2, 0)
    changed = {change["what"]: change["nodes"] for change in reboot["changes"]}
    assert (changed["image"], changed["kernel"]) == ("n[1-2]", "n[1-2]")
    clock.time += 1000
    assert node_views.status(controller)["reboot"] == {
        "count": 0,
        "changes": [],
        "unknown": {"count": 0, "nodes": ""},
    }, "nobody is ready"
