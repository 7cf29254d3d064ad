"""What administrators ask: answers, refusals in one form, who did it, and dry runs that do nothing."""

import asyncio
import getpass
import os
from typing import Any

import httpx
import pytest

from muster.controller import node_plan
from muster.controller.context import Context
from muster.model import urls
from muster.model.objects import Node
from muster.server.api import api_app
from tests.cluster import PROFILE, hello, node, version_document

SERVER = "http://10.77.0.1:9898"


class Api:
    """The app in memory, asked by the user with this id."""

    def __init__(self, controller: Context, uid: int) -> None:
        self._transport = httpx.ASGITransport(app=api_app(controller, SERVER), client=("unix", uid))

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://muster") as http:
                return await http.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@pytest.fixture
def api(controller: Context) -> Api:
    """Asked by this test's own user."""
    return Api(controller, os.getuid())


def put(api: Api, *documents: dict[str, object], **more: Any) -> Any:
    return api.post(urls.API_APPLY, json={"documents": documents, **more})


def test_apply_show_and_the_log_with_who_it_was(api: Api) -> None:
    answer = put(api, node("n3", profiles=["compute"]), PROFILE)
    assert answer.json()["lines"] == ["add node n3"]
    assert api.get("/api/1/objects/node/n3").json()["profiles"] == ["compute"]
    last = api.get(urls.API_CHANGES, params={"after": answer.json()["revision"] - 1}).json()
    assert [(c["name"], c["who"], c["before"]) for c in last] == [("n3", getpass.getuser(), None)]


def test_an_unknown_user_is_written_as_a_number(controller: Context) -> None:
    put(Api(controller, 3_999_999_999), node("n3"))
    assert controller.store.history("node", "n3")[0].who == "uid 3999999999"


def test_a_dry_run_changes_nothing(api: Api, controller: Context) -> None:
    before = controller.world
    words = {"kind": "node", "names": "n[1-2]", "assignments": {"domain": "a.example"}, "dry_run": True}
    assert api.post(urls.API_SET, json=words).json()["lines"] == ["change node n1", "change node n2"]
    assert put(api, node("n3"), dry_run=True).json()["lines"] == ["add node n3"]
    doomed = {"kind": "node", "names": "@all", "dry_run": True}
    assert len(api.post(urls.API_DELETE, json=doomed).json()["lines"]) == 2
    assert put(api, node("n3", profiles=["nowhere"]), dry_run=True).status_code == 409
    assert controller.world is before and controller.store.changes(before.revision) == []


def test_a_stale_write_is_refused(api: Api, controller: Context) -> None:
    read_at = api.get("/api/1/objects/node/n1").json()["revision"]
    assert put(api, node("n1", domain="a.example"), based_on=read_at).status_code == 200
    answer = put(api, node("n1", domain="b.example"), based_on=read_at)
    assert answer.status_code == 409 and "look at it again" in answer.json()["error"]
    assert controller.world.get(Node, "n1").domain == "a.example"


REFUSED = [
    ("GET", "/api/1/objects/rack", None, 404, "no kind 'rack'"),
    ("GET", "/api/1/objects/node/nobody", None, 404, "nobody"),
    ("GET", "/api/1/objects/node?names=n[1-99999999999]", None, 400, "more than"),
    ("GET", "/api/1/objects/profile/%2c", None, 400, "range"),
    ("GET", "/api/1/explain/nobody", None, 404, "nobody"),
    ("GET", "/api/1/trace/nobody", None, 404, "nobody"),
    ("GET", "/api/1/trace/n1", None, 404, "no record"),
    ("GET", "/api/1/versions/debian:nothing", None, 404, "no tag"),
    ("GET", "/api/1/changes?after=soon", None, 400, "after"),
    ("GET", "/api/1/changes?after=99999999999999999999999", None, 400, "after"),
    ("GET", "/api/1/changes?limit=-1", None, 400, "limit"),
    ("GET", "/api/1/nothing", None, 404, "cannot be asked"),
    ("DELETE", "/api/1/apply", None, 405, "cannot be asked"),
    ("POST", "/api/1/apply", {"documents": "x"}, 400, "documents"),
    ("POST", "/api/1/apply", {"documents": [1]}, 400, "documents"),
    ("POST", "/api/1/apply", {"documents": [{}]}, 400, "kind is one of"),
    ("POST", "/api/1/apply", {"documents": [], "colour": "red"}, 400, "colour"),
    ("POST", "/api/1/set", {"kind": "node", "names": "n9", "assignments": {"a": "b"}}, 404, "n9"),
    ("POST", "/api/1/set", {"kind": "node", "names": "n1", "assignments": {"a": "b"}}, 400, "no setting 'a'"),
    ("POST", "/api/1/set", {"kind": "node", "names": "n1", "assignments": {}, "make": True}, 409, "exists"),
    ("POST", "/api/1/delete", {"kind": "profile", "names": "compute"}, 409, "used by"),
    ("POST", "/api/1/adopt", {"machine": "ffffffff", "name": "n9"}, 404, "ffffffff"),
    ("POST", "/api/1/tag", {"reference": "debian", "tag": "Bad Tag"}, 400, "tag"),
    ("POST", "/api/1/power", {"names": "n1", "action": "explode"}, 400, "explode"),
    ("POST", "/api/1/versions", {"document": version_document(kernel="9")}, 400, "missing"),
    ("POST", "/api/1/versions", {"document": {}}, 400, "version"),
]


def test_every_refusal_has_one_form_and_changes_nothing(api: Api, controller: Context) -> None:
    before = controller.world
    for method, path, body, status, words in REFUSED:
        answer = api.request(method, path, json=body)
        assert (answer.status_code, answer.json().get("exit_status")) == (status, 2), (path, answer.text)
        assert words in answer.json()["error"], (path, answer.text)
    assert controller.world is before


def test_only_the_columns_that_are_asked_for(api: Api) -> None:
    rows = api.get("/api/1/objects/node", params={"columns": "name,state", "names": "n2"}).json()
    assert rows == [{"name": "n2", "state": "never"}]
    assert api.get("/api/1/objects/profile", params={"columns": "name"}).json() == [{"name": "compute"}]


def test_explain_says_where_values_come_from_and_has_no_effect(api: Api, controller: Context) -> None:
    before = controller.world
    found = api.get("/api/1/explain/n1").json()
    assert found["decision"].startswith("runs debian@") and found["boot_answer"].startswith("#!ipxe")
    assert {"key": "image", "value": "debian", "source": "profile compute"} in found["settings"]
    assert controller.world is before and controller.boots.by_node() == {}


def test_status_counts_and_names_what_needs_attention(api: Api, controller: Context) -> None:
    node_plan.hello(controller, hello("n1"), SERVER)
    node_plan.hello(controller, hello("stranger"), SERVER)
    found = api.get(urls.API_STATUS).json()
    assert found["counts"] == {"booting": 1, "never": 1} and found["ready"] == ""
    assert [entry["nodes"] for entry in found["attention"]] == ["n1", "n2"]
    assert len(found["pending"]) == 1


def test_adopting_over_the_api(api: Api, controller: Context) -> None:
    node_plan.hello(controller, hello("stranger"), SERVER)
    (row,) = api.get("/api/1/objects/machine").json()
    answer = api.post(urls.API_ADOPT, json={"machine": row["machine"], "name": "n7", "assignments": {}})
    assert answer.json()["lines"] == [f"adopt machine {row['machine']} as node n7"]
    assert api.get("/api/1/objects/machine").json() == []


def test_power_names_each_failure(api: Api, controller: Context) -> None:
    put(api, node("n1", power={"driver": "lab"}), node("n2", power={"driver": "lab", "address": "/nowhere.sock"}))
    rows = api.post(urls.API_POWER, json={"names": "n[1-2]", "action": "off"}).json()
    assert "power.address" in rows[0]["error"] and "no answer" in rows[1]["error"]
    assert controller.store.history("power", "n2")[0].after == {"verb": "off"}


def test_a_version_over_the_api(api: Api, controller: Context) -> None:
    body = {"document": version_document(kernel="6.2", blobs=controller.blobs), "tag": "next"}
    name = api.post(urls.API_VERSIONS, json=body).json()["version"]
    assert {row["name"]: row["tags"] for row in api.get(urls.API_IMAGES).json()}[name] == ["next"]
    assert api.post(urls.API_TAG, json={"reference": "debian:next", "tag": "latest"}).status_code == 200
    assert api.get("/api/1/objects/node/n1", params={"effective": "true"}).json()["image"] == "debian"
    assert api.post("/api/1/versions/delete", json={"reference": name}).status_code == 409


def test_a_stale_write_is_refused_also_when_somebody_else_did_the_same(api: Api) -> None:
    """Else two who count one up from the same number would both be told that they did."""
    read_at = api.get("/api/1/objects/node/n1").json()["revision"]
    wanted = node("n1", labels={"count": "1"})
    assert put(api, wanted, based_on=read_at).status_code == 200
    assert put(api, wanted, based_on=read_at).status_code == 409
    words = {"kind": "node", "names": "n[1-2]", "assignments": {"labels.count": "1"}}
    assert api.post(urls.API_SET, json={**words, "based_on": read_at}).status_code == 409
    assert api.post(urls.API_SET, json=words).status_code == 200
