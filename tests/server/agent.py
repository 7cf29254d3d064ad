"""A node's agent as the controller sees it: it beats, hears its size and its orders, and says what came of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from tests.cluster import plan_values
from tests.server.conftest import Nodes

Work = Callable[[str], tuple[int, Sequence[str]]]


@dataclass
class Agent:
    """Of the node with this plan. `said` goes into every heartbeat; `work` carries out an order by its word."""

    nodes: Nodes
    plan: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    work: Work = lambda word: (0, [f"{word}: nothing to do"])
    upper: str = ""
    orders: list[str] = field(default_factory=list)

    @classmethod
    async def booted(cls, nodes: Nodes, name: str = "n1", **more: object) -> "Agent":
        """A node that ran through its boot and has become ready."""
        plan = await nodes.hello(name, **more)
        agent = cls(nodes, plan)
        agent.said = {"mode": plan["mode"], "image": plan["image"], "plan-digest": plan["digest"]}
        await agent.beat()
        return agent

    async def beat(self, state: str = "ready", wait: int = 0, done: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
        """One heartbeat; the lines of its answer."""
        lines = [
            ("state", state),
            ("uptime", "30.5"),
            *self.said.items(),
            *(("trouble", t) for t in self.troubles),
            *done,
        ]
        body = "".join(f"{key}\t{value}\n" for key, value in lines)
        url = f"{self.plan['url.heartbeat']}?wait={wait}"
        answer = await self.nodes.post({**self.plan, "url": url}, "url", body)
        assert answer.status_code == 200, answer.text
        heard = plan_values(answer.text)
        self.plan["token"] = heard["token"]
        self.upper = heard.get("upper", "")
        return heard

    async def live(self) -> None:
        """Beat for ever, held by the controller; carry out what is ordered, once."""
        done: Sequence[tuple[str, str]] = ()
        while True:
            heard = await self.beat(wait=50, done=done)
            done = ()
            if order := heard.get("order"):
                number, word = order.split(" ")
                self.orders.append(word)
                status, lines = self.work(word)
                done = [("order", number), ("status", str(status)), *(("line", line) for line in lines)]


async def running(agent: Agent) -> "asyncio.Task[None]":
    """The agent at work, its first heartbeat held."""
    task = asyncio.ensure_future(agent.live())
    await asyncio.sleep(0.1)
    assert not task.done(), task.exception()
    return task


def client(app: object, uid: int = 0) -> httpx.AsyncClient:
    """An administrator's client of an ASGI app."""
    transport = httpx.ASGITransport(app=app, client=("unix", uid))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://muster", timeout=30)
