"""What a node meets on its way from iPXE to ready, and what nobody gets past."""

import asyncio
import hashlib
import itertools
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muster.boot import tokens
from muster.controller import node_plan, node_views, pending
from muster.controller.context import Context
from muster.controller.objects import adopt, apply, delete
from muster.overlays.render import Renderer
from muster.server.events import Events
from muster.server.nodes import nodes_app
from tests.cluster import MAC, STRANGER_MAC, UUID, FakeClock, close, cluster, hello, node, plan_values
from tests.server.conftest import KEY, Nodes, Scenario, bearer

Play = Callable[[Scenario], Any]
WHATS = ("url.plan", "url.overlay", "url.report", "url.heartbeat")
REPORT = "stage\tdownload\nstatus\tstart\nuptime\t3.5\n"
READY = "state\tready\nuptime\t9.5\nmemory-available\t1000\nload\t0.1\n"


def put(context: Context, *documents: dict[str, object]) -> None:
    context.store.change(lambda world: apply(world, documents), who="test")


def test_from_power_on_to_ready(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        answer = await n.http.get("/boot/1/ipxe", params={"mac": MAC["n1"], "uuid": UUID["n1"], "buildarch": "i386"})
        assert answer.status_code == 200 and "node n1 boots debian@" in answer.text
        plan = await n.hello()
        assert (plan["action"], plan["node"], plan["mode"]) == ("run", "n1", "ram")
        assert plan["root.url"].startswith("http://10.77.0.1:9898/blobs/sha256/")
        overlay = await n.get(plan, "url.overlay")
        assert overlay.status_code == 200 and len(overlay.content) == int(plan["overlay.size"])
        assert hashlib.sha256(overlay.content).hexdigest() == plan["overlay.sha256"]
        percents = "stage\tdownload\nstatus\tprogress\npercent\t50\nuptime\t4\n"
        for body in (REPORT, percents):
            assert (await n.post(plan, "url.report", body)).status_code == 204
        assert node_views.node_rows(controller, "n1")[0]["percent"] == 50
        beat = await n.post(plan, "url.heartbeat", READY)
        assert beat.status_code == 200 and "token\t1." in beat.text

    nodes(scenario)
    row = node_views.node_rows(controller, "n1")[0]
    assert (row["state"], row["seconds"]) == ("ready", 9.5)
    trace = node_views.trace(controller, "n1")["reports"]
    assert isinstance(trace, list)
    assert [r["stage"] for r in trace] == ["modules", "network", "download", "ready"]


def test_hello_is_idempotent_for_one_kernel_and_new_for_the_next(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        first, again, rebooted = await n.hello(), await n.hello(), await n.hello(boot=2)
        assert first["boot"] == again["boot"] != rebooted["boot"]
        assert (await n.get(first)).status_code == 403, "an ended boot's token opens nothing"
        assert (await n.get(rebooted)).status_code == 200

    nodes(scenario)


def test_tokens_survive_a_restart_of_the_app(
    nodes: Play, controller: Context, tmp_path: Path, overlay_workers: Renderer, clock: FakeClock
) -> None:
    plan = nodes(lambda n: n.hello())
    close(controller)
    again = cluster(tmp_path / "controller", overlay_workers, clock)
    assert node_plan.authorize(again, plan["boot"], plan["token"]).boot.node == "n1"
    close(again)


def test_no_token_opens_another_boot(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plans = {"n1": await n.hello("n1"), "n2": await n.hello("n2"), "?": await n.hello("stranger")}
        for (mine, plan), (theirs, other), what in itertools.product(plans.items(), plans.items(), WHATS):
            send = n.http.get if what in ("url.plan", "url.overlay") else n.http.post
            answer = await send(other[what], headers={"Authorization": f"Bearer {plan['token']}"})
            if mine != theirs:
                assert (answer.status_code, "another boot" in answer.text) == (403, True), (mine, theirs, what)
            else:
                assert answer.status_code in (200, 400) or (mine, what) == ("?", "url.overlay")
        for what in WHATS:
            send = n.http.get if what in ("url.plan", "url.overlay") else n.http.post
            forged = tokens.issue(b"x" * 32, "a" * 64, plans["n1"]["boot"], controller.clock.now())
            for header in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {plans['n1']['token']}"}):
                assert (await send(plans["n1"][what], headers=header)).status_code == 403
            assert (await send(plans["n1"][what], headers={"Authorization": f"Bearer {forged}"})).status_code == 403

    nodes(scenario)


def test_a_token_of_another_machine_for_this_boot_is_denied(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello("n1")
        lent = tokens.issue(controller.token_key, "a" * 64, plan["boot"], controller.clock.now())
        answer = await n.get({**plan, "token": lent})
        assert (answer.status_code, "another machine" in answer.text) == (403, True)

    nodes(scenario)


def test_an_expired_token_is_denied_and_a_heartbeat_renews_it(nodes: Play, clock: FakeClock) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        clock.time += tokens.LIFETIME - 10
        renewed = plan_values((await n.post(plan, "url.heartbeat", READY)).text)
        clock.time += 60
        assert "expired" in (await n.get(plan)).text
        assert (await n.get({**plan, "token": renewed["token"]})).status_code == 200

    nodes(scenario)


TRICKS = [
    "/",
    "/node/1",
    "/node/1/../../etc/passwd",
    "/node/1/%2e%2e/%2e%2e/etc/passwd",
    "/node/1/..%2f..%2fetc%2fpasswd/plan",
    "/node/1/%00/plan",
    "/node/1/0000000000000001%00/plan",
    "/node/1/0000000000000001%0a/plan",
    "/node/1/0000000000000001/plan/..",
    "/node/1/0000000000000001//plan",
    "/node/1/ABCDEFABCDEFABCD/plan",
    "/node/1/" + "a" * 8000 + "/plan",
    "/node/1/%ff%fe/plan",
    "/node/2/hello",
    "//node/1/hello/",
    "/boot/1/ipxe/../x",
    "/boot/files/../../store.db",
    "/blobs/sha256/../../secrets/token-key",
    "/api/1/status",
    "/openapi.json",
]


def test_path_tricks_lead_nowhere(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        await n.hello()
        for path, method in itertools.product(TRICKS, ("GET", "POST", "PUT", "DELETE", "HEAD")):
            answer = await n.http.request(method, path)
            assert 400 <= answer.status_code < 500, (method, path, answer.status_code)

    nodes(scenario)


def test_only_nginx_may_ask(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        n.http.headers.pop("X-Muster-Key")
        asked = (("GET", plan["url.plan"]), ("GET", "/boot/1/ipxe"), ("POST", "/node/1/hello"), ("GET", "/x"))
        for key, (method, url) in itertools.product((None, "", "wrong", KEY + "x", KEY.upper()), asked):
            headers = bearer(plan) | ({} if key is None else {"X-Muster-Key": key})
            assert (await n.http.request(method, url, headers=headers)).status_code == 403, (key, url)

    nodes(scenario)


def test_an_empty_key_is_no_key(controller: Context) -> None:
    async def make() -> None:
        nodes_app(controller, Events(controller.store), "")

    with pytest.raises(ValueError, match="empty key"):
        asyncio.run(make())


def dump(context: Context, folder: Path) -> list[str]:
    lines = [repr(sorted(map(repr, vars(context.boots)["_by_id"].values())))]
    for name in ("store.db", "boots.db"):
        connection = sqlite3.connect(folder / name)
        lines += connection.iterdump()
        connection.close()
    return lines


def test_no_get_changes_anything(nodes: Play, controller: Context, tmp_path: Path, clock: FakeClock) -> None:
    async def scenario(n: Nodes) -> None:
        plans = [await n.hello("n1"), await n.hello("stranger")]
        machine = node_views.pending_rows(controller)[0]["machine"]
        controller.store.change(lambda w: adopt(w, str(machine), "n7", {"profiles": "compute"}), who="test")
        before = dump(controller, tmp_path / "controller")
        clock.time += 5
        for query in ({"mac": MAC["n1"]}, {"mac": "52:54:00:00:00:77", "uuid": UUID["n2"]}, {}):
            assert (await n.http.get("/boot/1/ipxe", params=query)).status_code == 200
        for plan, what in itertools.product(plans, ("url.plan", "url.overlay")):
            assert (await n.get(plan, what)).status_code == 200
            await n.http.get(plan[what])
        assert dump(controller, tmp_path / "controller") == before
        assert (await n.post(plans[1], "url.report", REPORT)).status_code == 204

    nodes(scenario)
    assert node_views.node_rows(controller, "n7")[0]["stage"] == "download"


def test_the_loaders_first_word_counts(nodes: Play) -> None:
    """A product name with `&mac=` in it, as old iPXE sends it, makes no other node of the machine."""

    async def scenario(n: Nodes) -> None:
        answer = await n.http.get(f"/boot/1/ipxe?mac={MAC['n1']}&uuid={UUID['n1']}&product=x&mac={MAC['n2']}&uuid=")
        assert "node n1 boots" in answer.text

    nodes(scenario)


def test_an_unknown_machine_is_adopted_and_goes_on(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        waiting = await n.hello("stranger")
        assert waiting["action"] == "wait" and "muster node adopt" in waiting["reason"]
        await n.hello("stranger")
        (row,) = node_views.pending_rows(controller)
        assert (row["mac"], row["product"]) == (STRANGER_MAC, "Standard PC")
        assert str(row["machine"]) in waiting["reason"]
        held = asyncio.create_task(n.get(waiting, query=f"?after={waiting['digest']}&wait=50"))
        await asyncio.sleep(0.05)
        assert not held.done()
        words = {"profiles": "compute", "interfaces.eth0.address": "10.77.0.17/24"}
        await asyncio.to_thread(
            controller.store.change, lambda w: adopt(w, str(row["machine"]), "n7", words), who="test"
        )
        run = plan_values((await asyncio.wait_for(held, 5)).text)
        assert (run["action"], run["node"], run["boot"]) == ("run", "n7", waiting["boot"])
        assert (await n.get(run, "url.overlay")).status_code == 200
        assert node_views.pending_rows(controller) == []

    nodes(scenario)


def test_a_machine_declared_by_hand_is_pending_no_longer(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        await n.hello("stranger")
        put(controller, node("n7", interfaces=[{"name": "eth0", "mac": STRANGER_MAC}], profiles=["compute"]))
        assert node_views.pending_rows(controller) == []
        assert (await n.hello("stranger"))["action"] == "run"
        assert not [key for key in controller.world.objects if key[0] == "machine"]

    nodes(scenario)


def test_pending_machines_are_bounded(nodes: Play, controller: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MAX_PENDING", 3)

    async def scenario(n: Nodes) -> None:
        for i in range(6):
            body = hello("stranger").replace(b"43099", b"431%02d" % i)
            assert (await n.http.post("/node/1/hello", content=body)).status_code == 200
        assert len(node_views.pending_rows(controller)) == 3

    nodes(scenario)


def test_another_kernel_means_reboot(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello(kernel="6.1.0-0-old")
        assert plan["action"] == "reboot" and "6.1.0-0-old" in plan["reason"] and "root.url" not in plan

    nodes(scenario)


def test_a_reboot_that_brings_no_other_kernel_is_not_repeated(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        told = "stage\tplan\nstatus\tdone\nuptime\t3.0\nmessage\treboot\n"
        first = await n.hello(kernel="6.1.0-0-old", boot=1)
        await n.post(first, "url.report", told)
        second = await n.hello(kernel="6.1.0-0-old", boot=2)
        assert second["action"] == "wait" and "this is still 6.1.0-0-old" in second["reason"]
        await n.post(second, "url.report", "stage\twait\nstatus\tstart\nuptime\t3.0\n")
        third = await n.hello(kernel="6.1.0-0-old", boot=3)
        assert third["action"] == "reboot", "somebody switched it off and on: another try is worth it"
        await n.post(third, "url.report", told)
        assert (await n.hello(boot=4))["action"] == "run"

    nodes(scenario)


def test_what_cannot_run_waits_and_says_why(nodes: Play, controller: Context) -> None:
    put(controller, {"kind": "profile", "name": "compute"})
    put(controller, node("n2", image="debian", overlays=["nowhere"]))

    async def scenario(n: Nodes) -> None:
        without = await n.hello("n1")
        assert without["action"] == "wait" and "node n1 has no image" in without["reason"]
        broken = await n.hello("n2")
        assert broken["action"] == "wait" and "nowhere" in broken["reason"]
        assert (await n.get(without, "url.overlay")).status_code == 403

    nodes(scenario)


def test_an_overlay_that_changed_since_the_plan_is_409(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        put(controller, node("n1", timezone="Europe/Berlin"))
        assert (await n.get(plan, "url.overlay")).status_code == 409
        again = plan_values((await n.get(plan)).text)
        assert again["digest"] != plan["digest"] and (await n.get(again, "url.overlay")).status_code == 200

    nodes(scenario)


def test_a_plan_is_held_while_nothing_changes(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        start = time.monotonic()
        answer = await n.get(plan, query=f"?after={plan['digest']}&wait=0.3")
        assert answer.status_code == 200 and 0.25 < time.monotonic() - start < 2
        for query in ("?after=x&wait=50", f"?after={plan['digest']}&wait=-5", f"?after={plan['digest']}&wait=soon"):
            assert (await asyncio.wait_for(n.get(plan, query=query), 1)).status_code == 200

    nodes(scenario)


def test_a_change_while_the_plan_is_made_is_not_missed(
    nodes: Play, controller: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, changed = node_plan.plan, []

    def plan_then_change(*arguments: Any) -> str:
        text = make(*arguments)
        if not changed:
            changed.append(True)
            put(controller, node("n1", upper_size="2g"))
        return text

    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        monkeypatch.setattr(node_plan, "plan", plan_then_change)
        answer = await asyncio.wait_for(n.get(plan, query=f"?after={plan['digest']}&wait=50"), 3)
        assert plan_values(answer.text)["upper"] == "2g"

    nodes(scenario)


def test_a_node_that_is_removed_while_it_waits_is_told(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        held = asyncio.create_task(n.get(plan, query=f"?after={plan['digest']}&wait=50"))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(controller.store.change, lambda w: delete(w, "node", "n1"), who="test")
        assert plan_values((await asyncio.wait_for(held, 3)).text)["action"] == "wait"

    nodes(scenario)


def test_a_heartbeat_is_held_over_changes_and_released_at_close(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        held = asyncio.create_task(
            n.post({**plan, "url.heartbeat": plan["url.heartbeat"] + "?wait=50"}, "url.heartbeat", READY)
        )
        await asyncio.sleep(0.05)
        await asyncio.to_thread(put, controller, node("n2", domain="a.example"))
        await asyncio.sleep(0.05)
        assert not held.done() and node_views.node_rows(controller, "n1")[0]["state"] == "ready"
        n.events.close()
        assert (await asyncio.wait_for(held, 2)).status_code == 200

    nodes(scenario)


UNKNOWN_WORDS = [
    ("url.report", ""),
    ("url.report", "stage\tnowhere\nstatus\tdone\n"),
    ("url.report", "stage\tdownload\nstatus\tgreat\n"),
    ("url.heartbeat", ""),
    ("url.heartbeat", "state\thappy\n"),
    ("url.heartbeat", "<html>"),
]


def test_words_we_do_not_know_are_refused(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        for what, body in UNKNOWN_WORDS:
            assert (await n.post(plan, what, body)).status_code == 400, body

    nodes(scenario)


def test_bodies_are_bounded(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        for what, size in (("url.report", 5000), ("url.heartbeat", 70_000)):
            assert (await n.post(plan, what, READY + "message\t" + "x" * size)).status_code == 413
        assert (await n.http.post("/node/1/hello", content=b"x" * 70_000)).status_code == 413

    nodes(scenario)


def test_odd_numbers_of_a_node_do_no_harm(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        odd = "stage\tdownload\nstatus\tprogress\npercent\t999\nuptime\tnan\nmessage\tA\x07B\n"
        assert (await n.post(plan, "url.report", odd)).status_code == 204
        assert (await n.post(plan, "url.heartbeat", "state\tready\nuptime\tinf\n")).status_code == 200

    nodes(scenario)
    row = node_views.node_rows(controller, "n1")[0]
    assert row["state"] == "ready"
    trace = node_views.trace(controller, "n1")["reports"]
    assert isinstance(trace, list) and trace[-1]["uptime"] == 0.0


def test_a_host_that_is_none_is_refused(nodes: Play) -> None:
    async def scenario(n: Nodes) -> None:
        for host in ("", "a b", "evil/..", "x" * 300, "[::1]:1", "h:1\t2"):
            assert (await n.http.get("/boot/1/ipxe", headers={"Host": host})).status_code == 400

    nodes(scenario)


def test_a_record_of_boots_that_fails_stops_no_known_node(nodes: Play, controller: Context) -> None:
    controller.boots.close()

    async def scenario(n: Nodes) -> None:
        plan = await n.hello()
        assert plan["action"] == "run"
        assert (await n.post(plan, "url.report", REPORT)).status_code == 204
        assert (await n.post(plan, "url.heartbeat", READY)).status_code == 200

    nodes(scenario)


def test_a_machine_that_lies_about_its_memory_breaks_no_listing(nodes: Play, controller: Context) -> None:
    async def scenario(n: Nodes) -> None:
        body = hello("stranger").replace(b"memory\t2048000", b"memory\t" + b"9" * 500)
        assert (await n.http.post("/node/1/hello", content=body)).status_code == 200
        assert node_views.pending_rows(controller)[0]["memory"] == ""

    nodes(scenario)
