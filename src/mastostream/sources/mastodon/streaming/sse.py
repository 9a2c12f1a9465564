"""Streaming by server-sent events: one connection for each hashtag."""

import asyncio
from contextlib import closing
from typing import Never

import aiohttp

from mastostream.exceptions import RetriableError
from mastostream.ports.stream import StreamEvent
from mastostream.sources.mastodon.streaming.connection import StreamConnection
from mastostream.sources.mastodon.streaming.errors import ended, refusal, translated
from mastostream.sources.mastodon.streaming.session import address, proxy_of, request_headers
from mastostream.sources.mastodon.streaming.sse_parser import SseParser

__all__ = ["listen"]


async def listen(connection: StreamConnection) -> Never:
    """Read the stream of the connection's only hashtag until it ends.

    Raises:
        RetriableError: the stream ended, broke or fell silent, or the server refuses it for now.
        FatalError: the server refuses the stream.
    """
    with translated(connection.host, connection.clock.now_ms):
        response = await _open(connection)
        with closing(response):
            connection.opened()
            await _read(response, connection)
    raise ended(connection.host)


async def _open(connection: StreamConnection) -> aiohttp.ClientResponse:
    async with connection.handshake():
        response = await connection.session.get(
            address(connection.feed, websocket=False, path="/api/v1/streaming/hashtag"),
            params={"tag": connection.tags[0]},
            headers={**request_headers(connection.feed), "Accept": "text/event-stream"},
            proxy=proxy_of(connection.feed),
        )
    if response.status == 200 and response.content_type == "text/event-stream":
        return response
    response.close()
    raise refusal(connection.host, response.status, response.headers, connection.clock.now_ms())


async def _read(response: aiohttp.ClientResponse, connection: StreamConnection) -> None:
    parser = SseParser()
    greeted = False
    while chunk := await _next_chunk(response.content, connection):
        received_ms = connection.clock.now_ms()
        events = parser.feed(chunk)
        connection.progress = greeted or bool(events)
        greeted = True
        for event, data in events:
            if connection.pause_gate.paused:
                await _hold(response, connection)
            connection.put(
                StreamEvent(connection.feed.name, event, data, connection.tags[0], received_ms)
            )


async def _next_chunk(content: aiohttp.StreamReader, connection: StreamConnection) -> bytes:
    """Wait for the next bytes; none at the end of the stream."""
    timeout_s = connection.heartbeat_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            return await content.readany()
    except TimeoutError:
        raise RetriableError(f"{connection.host} has sent nothing for {timeout_s:g} s") from None


async def _hold(response: aiohttp.ClientResponse, connection: StreamConnection) -> None:
    """Leave further data in the socket while the pause gate is closed.

    Otherwise aiohttp would read on into a buffer, and lose it if the connection broke meanwhile.
    """
    transport = response.connection.transport if response.connection is not None else None
    if transport is not None:
        transport.pause_reading()
    await connection.pause_gate.opened()
    if transport is not None:
        transport.resume_reading()
