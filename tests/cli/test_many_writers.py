"""Fifty writers at once on the real socket: whoever read too early is told so, and no update is lost."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from muster.client import Client, ClientError
from muster.controller.context import Context
from muster.host.paths import Paths
from muster.model import urls
from muster.model.objects import Node
from tests.cluster import node

WRITERS = 50
ROUNDS = 2
CONFLICT = 409


def raise_count(client: Client, name: str) -> int:
    """One more in the label `count`, however often somebody else was first; the refusals."""
    refused = 0
    while True:
        shown: Any = client.get(urls.API_OBJECT.format(kind="node", name=name))
        wanted = node(name, labels={"count": str(int(shown["labels"]["count"]) + 1)})
        try:
            client.post(urls.API_APPLY, {"documents": [wanted], "based_on": shown["revision"]})
        except ClientError as error:
            assert error.status == CONFLICT, error
            refused += 1
        else:
            return refused


@pytest.mark.tools
def test_fifty_writers_lose_no_update(tmp_path: Any, serving: Context) -> None:
    client = Client(Paths(tmp_path).socket)
    names = [f"w{number}" for number in range(5)]
    client.post(urls.API_APPLY, {"documents": [node(name, labels={"count": "0"}) for name in names]})
    before = serving.world.revision

    def write(number: int) -> int:
        return sum(raise_count(client, names[number % len(names)]) for _ in range(ROUNDS))

    with ThreadPoolExecutor(WRITERS) as pool:
        refused = sum(pool.map(write, range(WRITERS)))
    counts = {name: int((serving.world.get(Node, name).labels or {})["count"]) for name in names}
    assert counts == dict.fromkeys(names, WRITERS * ROUNDS // len(names))
    assert serving.world.revision == before + WRITERS * ROUNDS, "each update is a revision, a refusal none"
    assert refused > 0, "they did meet"
