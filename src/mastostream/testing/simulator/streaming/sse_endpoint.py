"""Server-sent events, as Mastodon's streaming server sends them.

A stream begins with ``:)`` and has a heartbeat every 15 s. An event is two lines and an empty line.
There are no ids and no ``retry:``, and no event is ever sent again.
"""

import asyncio
from typing import Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mastostream.testing.simulator.answers import Answer, http_date, to_response
from mastostream.testing.simulator.api_middleware import bearer_token
from mastostream.testing.simulator.streaming.access import StreamRefusal, StreamService
from mastostream.testing.simulator.streaming.channels import PATHS
from mastostream.testing.simulator.streaming.hub import StreamMessage, chunk

__all__ = ["sse_routes"]

_ROOT: Final = "/api/v1/streaming"
_NOT_FOUND: Final = Answer(
    404, "<!DOCTYPE html><pre>Cannot do that</pre>", {"Content-Type": "text/html"}
)


def sse_routes(service: StreamService) -> list[Route]:
    """Return the routes at and below ``/api/v1/streaming``."""

    async def respond(request: Request) -> Response:
        return _respond(service, request)

    methods = ["GET", "POST", "PUT", "DELETE"]
    return [Route(_ROOT + path, respond, methods=methods) for path in ("", "/{name:path}")]


def _respond(service: StreamService, request: Request) -> Response:
    date_header = {"Date": http_date(service.clock.now_ms())}
    name = request.path_params.get("name")
    if service.family == "gotosocial":
        if name is None:
            return to_response(Answer(400, "Bad Request"), date_header)
        return to_response(Answer(404, {"error": "Not Found"}), date_header)
    if request.method != "GET":
        return to_response(_NOT_FOUND, date_header)
    if name == "health":
        return to_response(Answer(200, "OK"), date_header)
    query = request.query_params
    token = bearer_token(request)
    stream = PATHS.get(name or "")
    refusal = service.refusal_by_fault()
    if refusal is None and stream is None:
        refusal = StreamRefusal(400, "Unknown channel requested")
    if refusal is None:
        refusal = service.refusal_by_token(token)
    if refusal is None and len(query.getlist("tag")) > 1:
        refusal = StreamRefusal(500, "An unexpected error occurred")
    if refusal is None:
        refusal = service.refusal_by_name(stream or "", query)
    if refusal is not None:
        return to_response(Answer(refusal.status, {"error": refusal.error}), date_header)
    return _EventStream(service, token or "", stream or "", query.get("tag", ""))


class _EventStream(Response):
    """A response without an end: it lasts until the client or the server ends it."""

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
        transport = self._service.connections.find(scope["client"])
        if transport is None:
            return
        client = _SseClient(self._service, self._token, transport)
        self._service.subscribe(client, self._stream, self._tag)
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            client.stop()
            self._service.hub.leave(client)


class _SseClient:
    """A :class:`Client` that writes to the TCP connection itself: an event costs one call."""

    def __init__(self, service: StreamService, token: str, transport: asyncio.Transport) -> None:
        self.token = token
        self._service = service
        self._transport = transport
        self._dead = False
        self._timer = service.call_later(service.heartbeat_s, self.send_heartbeat)

    def send(self, message: StreamMessage, _: tuple[str, ...]) -> None:
        self._write(message.chunks())

    def send_heartbeat(self) -> None:
        self._write(chunk(b":thump\n"))
        self._timer = self._service.call_later(self._service.heartbeat_s, self.send_heartbeat)

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
