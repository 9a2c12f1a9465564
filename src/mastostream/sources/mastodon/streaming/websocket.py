"""Streaming by WebSocket: one connection for all hashtags of a feed."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal, Never

import aiohttp
import msgspec
from aiohttp.http import WSMessageTextBytes

from mastostream.core.hashtags import normalize_hashtag
from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.ports.stream import StreamEvent
from mastostream.sources.mastodon.streaming.connection import StreamConnection
from mastostream.sources.mastodon.streaming.errors import ended, refusal, translated
from mastostream.sources.mastodon.streaming.session import address, proxy_of, request_headers
from mastostream.sources.mastodon.streaming.sse_parser import MAX_EVENT_BYTES

__all__ = ["listen"]

_PINGS: Final = 3
"""Pings that are sent to a silent server within one heartbeat time-out."""

_CLOSE_S: Final = 0.5
"""How long closing waits for the server's part of it."""

_Received = aiohttp.WSMessage | WSMessageTextBytes
_Socket = aiohttp.ClientWebSocketResponse[Literal[False]]
_ENDS: Final = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)
_logger = logging.getLogger(__name__)


class _Message(msgspec.Struct):
    """A message from the server: an event, or a refusal."""

    event: str = ""
    payload: msgspec.Raw = msgspec.Raw()
    stream: tuple[str, ...] = ()
    error: str | None = None
    status: int = 400


class _Subscribe(msgspec.Struct, kw_only=True):
    """A subscription to a hashtag. Mastodon does not confirm it."""

    type: str = "subscribe"
    stream: str = "hashtag"
    tag: str


_decode: Final = msgspec.json.Decoder(_Message).decode
_decode_text: Final = msgspec.json.Decoder(str).decode


async def listen(connection: StreamConnection) -> Never:
    """Subscribe to all hashtags of the connection, and read until it ends.

    Raises:
        RetriableError: the connection ended, broke or fell silent, or the server refuses it for
            now.
        FatalError: the server refuses the connection or a subscription.
    """
    # If a hashtag is subscribed to in two spellings, the server uses the first.
    spellings = {normalize_hashtag(tag): tag for tag in reversed(connection.tags)}
    with translated(connection.host, connection.clock.now_ms):
        socket = await _open(connection)
        try:
            connection.opened()
            while True:
                message = await _next_message(socket, connection)
                received_ms = connection.clock.now_ms()
                if message.type in _ENDS or message.type is aiohttp.WSMsgType.ERROR:
                    raise _ending(socket, message, connection.host)
                connection.progress = True
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    event = _event(message.data, connection, spellings, received_ms)
                    if connection.pause_gate.paused:
                        await _hold(socket, connection)
                    connection.put(event)
        finally:
            await _close(socket)


async def _open(connection: StreamConnection) -> _Socket:
    async with connection.handshake():
        socket = await connection.session.ws_connect(
            address(connection.feed, websocket=True, path="/api/v1/streaming"),
            headers=request_headers(connection.feed),
            proxy=proxy_of(connection.feed),
            max_msg_size=MAX_EVENT_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            autoping=False,
            decode_text=False,
        )
        try:
            for tag in connection.tags:
                await socket.send_str(msgspec.json.encode(_Subscribe(tag=tag)).decode())
        except BaseException:
            await _close(socket)
            raise
    return socket


async def _close(socket: _Socket) -> None:
    """Close the connection, but do not wait long for a server that keeps sending."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_S):  # aiohttp's own time-out restarts with every message
            await socket.close()


async def _next_message(socket: _Socket, connection: StreamConnection) -> _Received:
    """Wait for the next message. Send pings to a silent server, and answer the server's pings."""
    for _ in range(_PINGS):
        try:
            async with asyncio.timeout(connection.heartbeat_timeout_s / _PINGS):
                message = await socket.receive()
        except TimeoutError:
            await socket.ping()
            continue
        if message.type is aiohttp.WSMsgType.PING:
            await _pong(socket, message.data)
        return message
    raise RetriableError(
        f"{connection.host} has sent nothing for {connection.heartbeat_timeout_s:g} s"
    )


async def _hold(socket: _Socket, connection: StreamConnection) -> None:
    """Stop reading while the pause gate is closed.

    The server's pings are not read then, and Mastodon cuts connections that have not answered for
    30 s. So pongs are sent unasked, which is allowed (RFC 6455, section 5.5.3).
    """
    while connection.pause_gate.paused:
        try:
            async with asyncio.timeout(connection.heartbeat_timeout_s / _PINGS):
                await connection.pause_gate.opened()
        except TimeoutError:
            await _pong(socket)


async def _pong(socket: _Socket, data: bytes = b"") -> None:
    """Send a pong. Ignore a broken connection: data that arrived before is still to be read."""
    with suppress(aiohttp.ClientError):
        await socket.pong(data)


def _event(
    text: bytes, connection: StreamConnection, spellings: Mapping[str, str], received_ms: int
) -> StreamEvent:
    """Turn a message into an event. Unreadable data becomes an event ``message``, as it is."""
    name = connection.feed.name
    try:
        message = _decode(text)
        payload = bytes(message.payload)
        data = _decode_text(payload).encode() if payload.startswith(b'"') else payload
    except (msgspec.MsgspecError, UnicodeError):
        return StreamEvent(name, "message", text, None, received_ms)
    if message.error is not None:
        _logger.warning("%s: the server refuses a stream (%d)", name, message.status)
        raise refusal(connection.host, message.status, {}, received_ms)
    tag = None
    if len(message.stream) > 1:
        spelling = message.stream[1]
        tag = spellings.get(normalize_hashtag(spelling), spelling)
    return StreamEvent(name, message.event or "message", data, tag, received_ms)


def _ending(socket: _Socket, message: _Received, host: str) -> MastostreamError:
    if message.type is aiohttp.WSMsgType.CLOSE:
        return ended(host)
    if message.type is aiohttp.WSMsgType.ERROR:
        return RetriableError(f"{host} sent what cannot be read: {message.data}")
    return RetriableError(f"{host} cannot be reached: the connection broke ({socket.close_code})")
