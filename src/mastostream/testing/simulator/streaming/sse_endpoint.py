"""Server-sent events, as Mastodon's streaming server sends them.

``:)`` at once, a heartbeat every 15 s, and for each event two lines and an empty one. No ids, no
``retry:``, nothing is ever sent again.
"""

import asyncio
from typing import Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mastostream.testing.simulator.answers import Answer, http_date, to_response
from mastostream.testing.simulator.api_middleware import bearer
from mastostream.testing.simulator.streaming.access import Refused, StreamService
from mastostream.testing.simulator.streaming.channels import PATHS
from mastostream.testing.simulator.streaming.hub import StreamMessage, chunk

__all__ = ["sse_routes"]

_ROOT: Final = "/api/v1/streaming"
_NOT_FOUND: Final = Answer(
    404, "<!DOCTYPE html><pre>Cannot do that</pre>", {"Content-Type": "text/html"}
)


def sse_routes(service: StreamService) -> list[Route]:
    """Return the routes below ``/api/v1/streaming``."""

    async def respond(request: Request) -> Response:
        return _respond(service, request)

    methods = ["GET", "POST", "PUT", "DELETE"]
    return [Route(_ROOT + rest, respond, methods=methods) for rest in ("", "/{name:path}")]


def _respond(service: StreamService, request: Request) -> Response:
    dated = {"Date": http_date(service.clock.now_ms())}
    name = request.path_params.get("name")
    if service.family == "gotosocial":
        if name is None:
            return to_response(Answer(400, "Bad Request"), dated)
        return to_response(Answer(404, {"error": "Not Found"}), dated)
    if request.method != "GET":
        return to_response(_NOT_FOUND, dated)
    if name == "health":
        return to_response(Answer(200, "OK"), dated)
    query = request.query_params
    token = bearer(request)
    stream = PATHS.get(name or "")
    refused = service.out_of_order()
    if refused is None and stream is None:
        refused = Refused(400, "Unknown channel requested")
    if refused is None:
        refused = service.unauthorized(token)
    if refused is None and len(query.getlist("tag")) > 1:
        refused = Refused(500, "An unexpected error occurred")
    if refused is None:
        refused = service.misnamed(stream or "", query)
    if refused is not None:
        return to_response(Answer(refused.status, {"error": refused.error}), dated)
    return _EventStream(service, token or "", stream or "", query.get("tag", ""))


class _EventStream(Response):
    """An answer that goes on until somebody ends it."""

    def __init__(self, service: StreamService, token: str, stream: str, tag: str) -> None:
        super().__init__()
        self._service = service
        self._token = token
        self._stream = stream
        self._tag = tag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            "content-type": "text/event-stream",
            "cache-control": "private, no-store",
            "x-request-id": str(uuid4()),
            "date": http_date(self._service.clock.now_ms()),
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        await send({"type": "http.response.body", "body": b":)\n", "more_body": True})
        transport = self._service.connections.of(scope["client"])
        if transport is None:
            return
        listener = _Listener(self._service, self._token, transport)
        self._service.subscribe(listener, self._stream, self._tag)
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            listener.stop()
            self._service.hub.leave(listener)


class _Listener:
    """A :class:`Client`. It writes to the connection itself: one event costs one call."""

    def __init__(self, service: StreamService, token: str, transport: asyncio.Transport) -> None:
        self.token = token
        self._service = service
        self._transport = transport
        self._dead = False
        self._timer = service.later(service.heartbeat_s, self.beat)

    def send(self, message: StreamMessage, _: tuple[str, ...]) -> None:
        self._write(message.chunks())

    def beat(self) -> None:
        self._write(chunk(b":thump\n"))
        self._timer = self._service.later(self._service.heartbeat_s, self.beat)

    def end(self) -> None:
        self._write(b"0\r\n\r\n")
        self._transport.close()

    def cut(self) -> None:
        self._transport.abort()

    def deaden(self) -> None:
        self._dead = True

    def stop(self) -> None:
        self._timer.cancel()

    def _write(self, data: bytes) -> None:
        if not self._dead and not self._transport.is_closing():
            self._transport.write(data)
