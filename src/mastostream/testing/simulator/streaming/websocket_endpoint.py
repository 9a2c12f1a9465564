"""WebSockets, as Mastodon's streaming server speaks them.

Any path can be upgraded. The client names streams in the query or subscribes to them by messages.
Events of all streams have the same envelope, with the payload as a string within the JSON.
"""

import asyncio
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from mastostream.testing.simulator.answers import http_date
from mastostream.testing.simulator.streaming.access import StreamRefusal, StreamService
from mastostream.testing.simulator.streaming.channels import channel
from mastostream.testing.simulator.streaming.hub import StreamMessage

__all__ = ["StreamSocket"]

_UNSUPPORTED_DATA: Final = 1003
"""Close code of RFC 6455, section 7.4.1."""


class StreamSocket(asyncio.Protocol):
    """A WebSocket connection and :class:`Client`; uvicorn makes one when a client upgrades."""

    def __init__(self, service: StreamService, **_: Any) -> None:
        """Serve one connection; uvicorn's other arguments are ignored."""
        self.token = ""
        self._service = service
        self._dead = False
        self._transport: asyncio.Transport
        self._protocol = ServerProtocol(
            max_size=None, select_subprotocol=lambda _, offered: offered[0] if offered else None
        )
        self._text: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pinged_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the TCP connection."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("expected a stream")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Handle the upgrade request and the frames of the client."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._on_upgrade(event)
            elif isinstance(event, Frame):
                self._on_frame(event)
        self._flush()

    def eof_received(self) -> None:
        """Close the connection, as the client has done."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, _: Exception | None) -> None:
        """Remove the client and its subscriptions."""
        self._service.connections.remove(self._transport)
        self._service.hub.leave(self)
        if self._timer is not None:
            self._timer.cancel()

    def shutdown(self) -> None:
        """Do nothing: the server breaks all connections itself."""

    def send(self, message: StreamMessage, stream: tuple[str, ...]) -> None:
        """Send an event of a stream."""
        # The frame bypasses the protocol object: it is encoded once for all connections.
        if not self._dead and not self._transport.is_closing() and self._is_open():
            self._transport.write(message.frame(stream))

    def end(self) -> None:
        """Close without a close code, as Mastodon does for a revoked token."""
        if self._is_open():
            self._protocol.send_close()
            self._flush()

    def cut(self) -> None:
        """Break the connection without a close frame."""
        self._transport.abort()

    def deaden(self) -> None:
        """Stay open, but send nothing any more."""
        self._dead = True

    def send_ping(self) -> None:
        """Send a ping; break the connection if the last ping was not answered in time."""
        now_s = asyncio.get_running_loop().time()
        if self._pinged_s is not None:
            timeout_s = self._service.clock.real_s(self._service.ping_s)
            if now_s - self._pinged_s >= max(timeout_s, self._service.pong_timeout_s) * 0.99:
                self.cut()
                return
        elif self._is_open() and not self._dead:
            self._pinged_s = now_s
        if self._is_open() and not self._dead:
            self._protocol.send_ping(b"")
            self._flush()
        self._timer = self._service.call_later(self._service.ping_s, self.send_ping)

    def _is_open(self) -> bool:
        return self._protocol.state is State.OPEN

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if not data:
                self._transport.close()
            elif not self._dead and not self._transport.is_closing():
                self._transport.write(data)

    def _on_upgrade(self, request: Request) -> None:
        query = dict(parse_qsl(urlsplit(request.path).query))
        self.token = _token(request, query)
        refusal = StreamRefusal(429, "rate limit reached") if self._over_limit() else None
        refusal = (
            refusal
            or self._service.refusal_by_fault()
            or self._service.refusal_by_token(self.token)
        )
        if refusal is not None:
            self._reject(refusal)
            return
        response = self._protocol.accept(request)
        self._respond(response)
        if response.status_code != 101:
            return
        self._service.hub.enter(self)
        self._timer = self._service.call_later(self._service.ping_s, self.send_ping)
        if "stream" in query:
            self._subscribe(query)

    def _respond(self, response: Response) -> None:
        del response.headers["Date"]
        response.headers["Date"] = http_date(self._service.clock.now_ms())
        self._protocol.send_response(response)

    def _over_limit(self) -> bool:
        """Whether this upgrade exceeds the rate limit; only GoToSocial counts upgrades."""
        if self._service.family != "gotosocial":
            return False
        client = self._transport.get_extra_info("peername")[0]
        now_ms = self._service.clock.now_ms()
        return self._service.limits.count(client, now_ms, paging=False).over

    def _reject(self, refusal: StreamRefusal) -> None:
        gotosocial = self._service.family == "gotosocial"
        body = msgspec.json.encode({"error": refusal.error}).decode() if gotosocial else ""
        response = self._protocol.reject(refusal.status, body)
        if gotosocial:
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
        else:
            response.headers["X-Error-Message"] = refusal.error
        self._respond(response)

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._pinged_s = None
        elif frame.opcode is Opcode.BINARY:
            self._protocol.send_close(_UNSUPPORTED_DATA)
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._text.append(bytes(frame.data))
            if frame.fin:
                text, self._text = b"".join(self._text), []
                self._on_message(text)

    def _on_message(self, text: bytes) -> None:
        try:
            message = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError:
            return
        members = {name: value for name, value in message.items() if isinstance(value, str)}
        if members.get("type") == "subscribe":
            self._subscribe(members)
        elif members.get("type") == "unsubscribe":
            self._unsubscribe(members)

    def _subscribe(self, members: dict[str, str]) -> None:
        stream = members.get("stream", "")
        refusal = self._service.refusal_by_name(stream, members)
        if refusal is None:
            self._service.subscribe(self, stream, members.get("tag", ""))
        else:
            self._send_json({"error": refusal.error, "status": refusal.status})

    def _unsubscribe(self, members: dict[str, str]) -> None:
        stream = members.get("stream", "")
        if self._service.refusal_by_name(stream, members) is None:
            self._service.hub.unsubscribe(self, channel(stream, members.get("tag", "")))
        else:
            self._send_json({"error": "Error unsubscribing from channel"})

    def _send_json(self, message: dict[str, Any]) -> None:
        self._protocol.send_text(msgspec.json.encode(message))
        self._flush()


def _token(request: Request, query: dict[str, str]) -> str:
    header = request.headers.get("Authorization")
    if header:
        return header.removeprefix("Bearer ")
    return query.get("access_token") or request.headers.get("Sec-WebSocket-Protocol", "")
