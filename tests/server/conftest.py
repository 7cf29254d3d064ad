"""The app for nodes as nginx reaches it, in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from muster.controller.context import Context
from muster.server.events import Events
from muster.server.nodes import nodes_app
from tests.cluster import hello, plan_values

KEY = "drawn-at-start"


class Nodes:
    """A client behind nginx's key; `events` as the app has them."""

    def __init__(self, http: httpx.AsyncClient, events: Events) -> None:
        self.http = http
        self.events = events

    async def hello(self, name: str = "n1", **more: Any) -> dict[str, str]:
        answer = await self.http.post("/node/1/hello", content=hello(name, **more))
        assert answer.status_code == 200, answer.text
        return plan_values(answer.text)

    async def get(self, plan: dict[str, str], what: str = "url.plan", query: str = "") -> httpx.Response:
        return await self.http.get(plan[what] + query, headers=bearer(plan))

    async def post(self, plan: dict[str, str], what: str, body: str) -> httpx.Response:
        return await self.http.post(plan[what], content=body.encode(), headers=bearer(plan))


def bearer(plan: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {plan['token']}"}


Scenario = Callable[[Nodes], Awaitable[Any]]


@pytest.fixture
def nodes(controller: Context) -> Callable[[Scenario], Any]:
    """`nodes(scenario)` runs an async function against the app of this controller."""

    async def play(scenario: Scenario) -> Any:
        events = Events(controller.store)
        transport = httpx.ASGITransport(app=nodes_app(controller, events, KEY))
        headers = {"X-Muster-Key": KEY}
        async with httpx.AsyncClient(transport=transport, base_url="http://10.77.0.1:9898", headers=headers) as http:
            try:
                return await scenario(Nodes(http, events))
            finally:
                events.close()

    return lambda scenario: asyncio.run(play(scenario))
