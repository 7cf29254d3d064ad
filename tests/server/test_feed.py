"""The feed of changes: whole revisions, and a held request that answers as soon as something happens."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from muster.controller.context import Context
from muster.controller.objects import apply
from muster.model import urls
from muster.server.api import api_app
from muster.server.events import Events
from tests.cluster import node

Ask = Callable[..., Awaitable[httpx.Response]]
Scenario = Callable[[Ask, Events], Awaitable[Any]]


def play(context: Context, scenario: Scenario) -> Any:
    async def run() -> Any:
        events = Events(context.store)
        transport = httpx.ASGITransport(app=api_app(context, "http://10.77.0.1:9898", events), client=("unix", 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://muster", timeout=20) as http:
            try:
                return await scenario(lambda **query: http.get(urls.API_CHANGES, params=query), events)
            finally:
                events.close()

    return asyncio.run(run())


def put(context: Context, *names: str) -> None:
    context.store.change(lambda world: apply(world, [node(name) for name in names]), who="alice")


def test_a_held_request_answers_at_the_next_change(controller: Context) -> None:
    async def scenario(ask: Ask, _events: Events) -> httpx.Response:
        held = asyncio.ensure_future(ask(after=controller.world.revision, wait=15))
        await asyncio.sleep(0.05)
        assert not held.done()
        await asyncio.to_thread(put, controller, "n3")
        return await held

    started = time.monotonic()
    told = play(controller, scenario).json()
    assert [(c["name"], c["who"], c["before"]) for c in told] == [("n3", "alice", None)]
    assert time.monotonic() - started < 5


def test_what_happened_already_is_not_waited_for(controller: Context) -> None:
    started = time.monotonic()
    told = play(controller, lambda ask, _events: ask(after=0, wait=15)).json()
    assert {"n1", "n2"} <= {c["name"] for c in told} and time.monotonic() - started < 5


def test_time_runs_out_and_the_controller_stops(controller: Context) -> None:
    async def closing(ask: Ask, events: Events) -> httpx.Response:
        held = asyncio.ensure_future(ask(after=controller.world.revision, wait=15))
        await asyncio.sleep(0.05)
        events.close()
        return await held

    assert play(controller, lambda ask, _events: ask(after=controller.world.revision, wait=0.1)).json() == []
    assert play(controller, closing).json() == []
    assert play(controller, lambda ask, _events: ask(after=0, wait=3600)).status_code == 400


def test_following_the_feed_misses_nothing(controller: Context) -> None:
    at = controller.world.revision
    put(controller, "x1", "x2", "x3")
    put(controller, "x4")
    put(controller, "x5", "x6")
    told: list[list[str]] = []
    while records := controller.store.changes(at, limit=2):
        told.append([record.name for record in records])
        at = records[-1].revision
    assert told == [["x1", "x2", "x3"], ["x4", "x5", "x6"]]
