"""Server-sent events: one connection a hashtag."""

import asyncio
from contextlib import closing
from typing import Never

import aiohttp

from mastostream.exceptions import RetriableError
from mastostream.ports.stream import StreamEvent
from mastostream.sources.mastodon.streaming.errors import ended, refusal, translated
from mastostream.sources.mastodon.streaming.line import Line
from mastostream.sources.mastodon.streaming.session import address, proxy_of, request_headers
from mastostream.sources.mastodon.streaming.sse_parser import SseParser

__all__ = ["listen"]


async def listen(line: Line) -> Never:
    """Read the stream of the line's one hashtag until it ends.

    Raises:
        RetriableError: it ended, broke, fell silent, or the server has no time now.
        FatalError: the server refuses.
    """
    with translated(line.host, line.clock.now_ms):
        response = await _open(line)
        with closing(response):
            line.opened()
            await _read(response, line)
    raise ended(line.host)


async def _open(line: Line) -> aiohttp.ClientResponse:
    async with line.handshake():
        response = await line.session.get(
            address(line.feed, websocket=False, path="/api/v1/streaming/hashtag"),
            params={"tag": line.tags[0]},
            headers={**request_headers(line.feed), "Accept": "text/event-stream"},
            proxy=proxy_of(line.feed),
        )
    if response.status == 200 and response.content_type == "text/event-stream":
        return response
    response.close()
    raise refusal(line.host, response.status, response.headers, line.clock.now_ms())


async def _read(response: aiohttp.ClientResponse, line: Line) -> None:
    parser = SseParser()
    greeted = False
    while chunk := await _next_chunk(response.content, line):
        received_ms = line.clock.now_ms()
        events = parser.feed(chunk)
        line.progress = greeted or bool(events)
        greeted = True
        for event, data in events:
            if line.valve.paused:
                await _hold(response, line)
            line.put(StreamEvent(line.feed.name, event, data, line.tags[0], received_ms))


async def _next_chunk(content: aiohttp.StreamReader, line: Line) -> bytes:
    """Wait for any bytes; none at the stream's end."""
    timeout_s = line.heartbeat_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            return await content.readany()
    except TimeoutError:
        raise RetriableError(f"{line.host} has sent nothing for {timeout_s:g} s") from None


async def _hold(response: aiohttp.ClientResponse, line: Line) -> None:
    """Leave all else in the socket while the line is paused.

    aiohttp would read on into a buffer, and throw that away if the connection broke meanwhile.
    """
    transport = response.connection.transport if response.connection is not None else None
    if transport is not None:
        transport.pause_reading()
    await line.valve.opened()
    if transport is not None:
        transport.resume_reading()
