"""What nodes ask: text in, text out, over nginx, which proves itself by the key header."""

import hmac
import re
from contextlib import suppress

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from muster.controller import node_plan, node_report
from muster.controller.answer_boot import answer_boot
from muster.controller.context import Context
from muster.controller.node_plan import NodeRequest
from muster.model import urls
from muster.model.errors import MusterError, RequestError, TooLargeError
from muster.server.events import MAX_WAIT, Events
from muster.server.held import Held

KEY_HEADER = "x-muster-key"
_HOST = re.compile(r"^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$")
_BOOT = re.compile(r"^[0-9a-f]{16}$")


def nodes_app(context: Context, events: Events, key: str) -> ASGIApp:
    """The ASGI app for nodes; requests without nginx's key are refused."""
    if not key:
        raise ValueError("an empty key would let everybody in")
    handlers = _Handlers(context, events)
    routes = [
        Route(urls.BOOT_IPXE, handlers.boot_ipxe, methods=["GET"]),
        Route(urls.NODE_HELLO, handlers.hello, methods=["POST"]),
        Route(urls.NODE_PLAN, handlers.plan, methods=["GET"]),
        Route(urls.NODE_OVERLAY, handlers.overlay, methods=["GET"]),
        Route(urls.NODE_REPORT, handlers.report, methods=["POST"]),
        Route(urls.NODE_HEARTBEAT, handlers.heartbeat, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={MusterError: _refused, ClientDisconnect: _gone})
    return _KeyCheck(app, key)


class _Handlers:
    def __init__(self, context: Context, events: Events) -> None:
        self._context = context
        self._events = events
        self._held = Held(context, events)

    async def boot_ipxe(self, request: Request) -> Response:
        # The first value of a name is the true one: the machine's own texts come last (boot/ipxe_static.py).
        query = dict(reversed(request.query_params.multi_items()))
        return PlainTextResponse(answer_boot(self._context.world, query, _server(request), self._context.node_segment))

    async def hello(self, request: Request) -> Response:
        body = await _body(request, node_plan.MAX_BYTES)
        return PlainTextResponse(await run_in_threadpool(node_plan.hello, self._context, body, _server(request)))

    async def plan(self, request: Request) -> Response:
        wait, known = _wait(request), request.query_params.get("after", "")
        deadline = self._context.clock.monotonic() + wait
        while True:
            event = self._events.next()
            who = await self._authorized(request)
            text = await run_in_threadpool(node_plan.plan, self._context, who, _server(request))
            left = deadline - self._context.clock.monotonic()
            if node_plan.plan_digest(text) != known or left <= 0 or not await self._events.changed(event, left):
                return PlainTextResponse(text)

    async def overlay(self, request: Request) -> Response:
        who = await self._authorized(request)
        rendered = await run_in_threadpool(node_plan.overlay, self._context, who)
        if request.query_params.get("sha256", rendered.sha256) != rendered.sha256:
            return PlainTextResponse("the overlay changed: ask for the plan again\n", 409)
        return Response(rendered.data, media_type="application/gzip")

    async def report(self, request: Request) -> Response:
        who = await self._authorized(request)
        body = await _body(request, node_report.MAX_BYTES)
        await run_in_threadpool(node_report.report, self._context, who, body)
        return Response(status_code=204)

    async def heartbeat(self, request: Request) -> Response:
        who = await self._authorized(request)
        body, server = await _body(request, node_report.HEARTBEAT_MAX_BYTES), _server(request)
        with self._held.place(who) as place:
            await run_in_threadpool(node_report.heartbeat, self._context, who, body, server)
            if (held := min(_wait(request), node_report.patience(self._context, who))) > 0:
                await self._held.called(place, held)
        return PlainTextResponse(node_report.answer(self._context, who))

    async def _authorized(self, request: Request) -> NodeRequest:
        boot = request.path_params["boot"]
        if not _BOOT.match(boot):
            raise RequestError("not a boot id")
        word, _, token = request.headers.get("authorization", "").partition(" ")
        return node_plan.authorize(self._context, boot, token.strip() if word.lower() == "bearer" else "")


class _KeyCheck:
    """Only nginx may speak to this app: it shows the key that was drawn at start."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(KEY_HEADER.encode(), b"")
            if not hmac.compare_digest(shown, self._key):
                await PlainTextResponse("ask on the node-facing port\n", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _body(request: Request, limit: int) -> bytes:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise TooLargeError(f"more than {limit} bytes")
    return data


def _server(request: Request) -> str:
    """Our address as this machine reaches it."""
    host = request.headers.get("host", "")
    if not _HOST.match(host):
        raise RequestError("no usable Host header")
    return f"http://{host}"


def _wait(request: Request) -> float:
    with suppress(ValueError):
        return max(0.0, min(MAX_WAIT, float(request.query_params.get("wait", "0"))))
    return 0.0


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MusterError)
    return PlainTextResponse(f"{error}\n", error.http_status)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)
