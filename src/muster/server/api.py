"""What administrators ask: JSON on the controller's unix socket. To reach the socket is to be administrator.

Handlers parse, call the controller, render; the caller's Unix user goes into the audit log.
"""

import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import muster
from muster.controller import adopt as adoption
from muster.controller import audit, complete, images, node_views, objects, ordering, power
from muster.controller.context import Context
from muster.model import urls
from muster.model.difference import differences, plain
from muster.model.errors import EXIT_BAD_REQUEST, MusterError, RequestError
from muster.model.world import Change, Key, World
from muster.server.events import MAX_WAIT, Events

Json = dict[str, object]
Revision = Annotated[int, Field(ge=0, le=2**53)]
Answer = TypeVar("Answer")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ApplyBody(_Body):
    documents: list[Json]
    prune: bool = False
    missing_images: bool = False
    based_on: Revision | None = None
    dry_run: bool = False


class AssignBody(_Body):
    kind: str
    names: str
    assignments: dict[str, str]
    make: bool = False
    based_on: Revision | None = None
    dry_run: bool = False


class ImportBody(_Body):
    kind: str
    rows: list[dict[str, str]]
    based_on: Revision | None = None
    dry_run: bool = False


class DeleteBody(_Body):
    kind: str
    names: str
    based_on: Revision | None = None
    dry_run: bool = False


class AdoptBody(_Body):
    machine: str
    name: str
    assignments: dict[str, str] = {}


class RegisterBody(_Body):
    document: Json
    tag: str = "latest"


class TagBody(_Body):
    reference: str
    tag: str


class LiveBody(_Body):
    image: str
    live: bool


class ReferenceBody(_Body):
    reference: str


class RangeBody(_Body):
    names: str


class PowerBody(_Body):
    names: str
    action: str


Seconds = Annotated[float, Field(gt=0, le=ordering.MOST_SECONDS)]


class FreeBody(_Body):
    names: str
    timeout: Seconds


class StaleBody(_Body):
    image: str
    timeout: Seconds


def api_app(context: Context, server: str, events: Events | None = None) -> FastAPI:
    """The ASGI app for administrators; `server` is our node-facing URL, for explanations.

    Without `events` nothing is held: a feed asked to wait answers at once.
    """
    app = FastAPI(title="Muster", version=muster.__version__, docs_url=None, redoc_url=None)
    app.add_exception_handler(MusterError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _no_route)
    _object_routes(app, context)
    _change_routes(app, context)
    _record_routes(app, context)
    _node_routes(app, context, server)
    _order_routes(app, context)
    _image_routes(app, context)
    _feed_routes(app, context, events)
    return app


def _who(request: Request) -> str:
    """The Unix user on the other end of the socket (set by daemon.py's protocol from SO_PEERCRED)."""
    uid = request.client.port if request.client else -1
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


Who = Annotated[str, Depends(_who)]


def _object_routes(app: FastAPI, context: Context) -> None:
    @app.get(urls.API_VERSION_INFO)
    def version() -> Json:
        return {"version": muster.__version__, "revision": context.world.revision}

    @app.get(urls.API_OBJECTS)
    def listing(kind: str, columns: str | None = None, names: str = "@all") -> Response:
        if kind == "node":
            wanted = None if columns is None else columns.split(",")
            return JSONResponse(node_views.node_rows(context, names, wanted))
        if kind == "machine":
            return JSONResponse(_columns(node_views.pending_rows(context), columns))
        return JSONResponse(_columns(objects.listing(context.world, kind, names), columns))

    @app.get(urls.API_OBJECT)
    def show(kind: str, name: str, effective: bool = False) -> Json:
        if kind == "node":
            return node_views.show(context, name, effective=effective)
        return objects.show(context.world, kind, name)

    @app.get(urls.API_EXPORT)
    def export(kinds: str = "") -> JSONResponse:
        return JSONResponse(objects.export(context.world, kinds.split(",") if kinds else ()))


def _change_routes(app: FastAPI, context: Context) -> None:
    @app.post(urls.API_APPLY)
    def apply(body: ApplyBody, who: Who) -> JSONResponse:
        options = {"prune": body.prune, "missing_images": body.missing_images}
        touched = [(str(document.get("kind")), str(document.get("name"))) for document in body.documents]
        return _change(context, lambda w: objects.apply(w, body.documents, **options), who, body, touched)

    @app.post(urls.API_SET)
    def assign(body: AssignBody, who: Who) -> JSONResponse:
        states = node_views.states(context)

        def plan(world: World) -> tuple[objects.Outcome, list[Change]]:
            if body.make:
                return objects.make(world, body.kind, body.names, body.assignments)
            return objects.change(world, body.kind, body.names, body.assignments, states)

        touched: list[Key] = []
        if body.based_on is not None and not body.make:
            named = objects.select(context.world, body.kind, body.names, states)
            touched = [(body.kind, item.name) for item in named]
        return _change(context, plan, who, body, touched)

    @app.post(urls.API_IMPORT)
    def lay(body: ImportBody, who: Who) -> JSONResponse:
        return _change(context, lambda w: objects.lay(w, body.kind, body.rows), who, body)

    @app.post(urls.API_DELETE)
    def delete(body: DeleteBody, who: Who) -> JSONResponse:
        states = node_views.states(context)
        return _change(context, lambda w: objects.delete(w, body.kind, body.names, states), who, body)


def _record_routes(app: FastAPI, context: Context) -> None:
    @app.get(urls.API_COMPLETE)
    def completions(what: str, kind: str = "", typed: Annotated[str, Query(max_length=4096)] = "") -> Response:
        return JSONResponse(complete.words(context, what, kind, typed))

    @app.get(urls.API_AUDIT)
    def audited(
        kind: str | None = None,
        names: str | None = None,
        who: str | None = None,
        since: Annotated[float | None, Query(ge=0, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=100_000)] = 100,
        folded: bool = False,
    ) -> Response:
        return JSONResponse(audit.entries(context, audit.wanted(kind, names, who, since, limit), folded=folded))


def _node_routes(app: FastAPI, context: Context, server: str) -> None:
    @app.get(urls.API_STATUS)
    def status() -> Response:
        return JSONResponse(node_views.status(context))

    @app.get(urls.API_EXPLAIN)
    def explain(node: str) -> Json:
        return node_views.explain(context, node, server)

    @app.get(urls.API_TRACE)
    def trace(node: str, boot: str | None = None) -> Json:
        return node_views.trace(context, node, boot)

    @app.post(urls.API_ADOPT)
    def adopt(body: AdoptBody, who: Who) -> Json:
        return asdict(adoption.adopt(context, body.machine, body.name, body.assignments, who))

    @app.post(urls.API_NODERANGE)
    def noderange(body: RangeBody) -> Json:
        return {"names": node_views.names_of(context, body.names)}

    @app.get(urls.API_GROUPS)
    def groups(node: str | None = None) -> list[Json]:
        return node_views.group_rows(context, node)

    @app.post(urls.API_POWER)
    def switch(body: PowerBody, who: Who) -> list[Json]:
        return power.switch(context, body.names, body.action, who)


def _order_routes(app: FastAPI, context: Context) -> None:
    """Held until the nodes answer; what is asked of the store happens in a thread."""

    @app.post(urls.API_FREE)
    async def free(body: FreeBody, who: Who) -> JSONResponse:
        asked = await run_in_threadpool(ordering.free, context, body.names, who)
        return JSONResponse(await ordering.answers(context, asked, body.timeout))

    @app.post(urls.API_STALE)
    async def stale(body: StaleBody, who: Who) -> JSONResponse:
        asked = await run_in_threadpool(ordering.stale, context, body.image, who)
        return JSONResponse(ordering.stale_files(await ordering.answers(context, asked, body.timeout)))


def _image_routes(app: FastAPI, context: Context) -> None:
    @app.get(urls.API_IMAGES)
    def listing(columns: str | None = None) -> list[Json]:
        return _columns(images.rows(context.world), columns)

    @app.get(urls.API_VERSION)
    def show(reference: str) -> Json:
        return images.show(context.world, reference)

    @app.post(urls.API_VERSIONS)
    def register(body: RegisterBody, who: Who) -> Json:
        return images.register(context, body.document, body.tag, who)

    @app.post(urls.API_TAG)
    def tag(body: TagBody, who: Who) -> Json:
        return _do(context, lambda w: images.tag(w, body.reference, body.tag), who)

    @app.post(urls.API_LIVE)
    def live(body: LiveBody, who: Who) -> Json:
        return _do(context, lambda w: images.live(w, body.image, on=body.live), who)

    @app.post(f"{urls.API_VERSIONS}/delete")
    def delete(body: ReferenceBody, who: Who) -> Json:
        return images.delete_with_blobs(context, body.reference, who)


def _feed_routes(app: FastAPI, context: Context, events: Events | None) -> None:
    @app.get(urls.API_CHANGES)
    async def changes(
        after: Revision = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0.0,
    ) -> list[Json]:
        """Changes later than the revision `after`; when there are none yet, the next ones within `wait` seconds."""
        deadline = context.clock.monotonic() + wait
        while events is not None and context.world.revision <= after:
            event = events.next()
            left = deadline - context.clock.monotonic()
            if context.world.revision > after or left <= 0 or not await events.changed(event, left):
                break
        return [asdict(record) for record in await run_in_threadpool(context.store.changes, after, limit)]


def _do(
    context: Context,
    plan: Callable[[World], tuple[Answer, Sequence[Change]]],
    who: str,
) -> Answer:
    return context.store.change(plan, who=who)


def _change(
    context: Context,
    plan: Callable[[World], tuple[objects.Outcome, list[Change]]],
    who: str,
    body: ApplyBody | AssignBody | ImportBody | DeleteBody,
    touched: Sequence[Key] = (),
) -> JSONResponse:
    """Commit; of a dry run tell what it would do, and at which revision that was seen (`based_on` of the real one).

    `touched` names what the request is about, changed or not: somebody else's change of it makes the request stale.
    """
    if not body.dry_run:
        return JSONResponse(asdict(context.store.change(plan, who=who, based_on=body.based_on, touched=touched)))
    world = context.world
    outcome, changes = plan(world)
    return JSONResponse({**asdict(outcome), "seen": world.revision, "differences": plain(differences(changes))})


def _columns(rows: Sequence[Mapping[str, object]], columns: str | None) -> list[Json]:
    if columns is None:
        return [dict(row) for row in rows]
    wanted = columns.split(",")
    return [{key: row.get(key) for key in wanted} for row in rows]


def _malformed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    lines = [f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()]
    return _refused(_request, RequestError("; ".join(lines)))


def _no_route(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    refusal = {"error": f"the controller cannot be asked this: {error.detail}", "exit_status": EXIT_BAD_REQUEST}
    return JSONResponse(refusal, error.status_code)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MusterError)
    refusal: Json = {"error": str(error), "exit_status": error.exit_status}
    if error.problems:
        refusal |= {"hint": error.hint, "problems": [asdict(problem) for problem in error.problems]}
    return JSONResponse(refusal, error.http_status)
