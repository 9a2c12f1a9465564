"""Small servers on the loopback for the tests beside, and ears that listen to them."""

import asyncio
import json
import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from aiohttp import web

from mastostream.ports.clock import ScaledClock
from mastostream.ports.stream import Cut, Feed, Opened, StreamEvent, StreamItem
from mastostream.sources.mastodon.streaming import MastodonStreams

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Transport = Literal["sse", "websocket"]

TOKEN = "s3cr3t-t0ken"
AGENT = "mastostream/1 (+me@example.org)"
NOW_MS = time.time_ns() // 1_000_000
FAST = ScaledClock(real_ms=NOW_MS, simulated_ms=NOW_MS, speed=500.0)
BOTH = pytest.mark.parametrize("transport", ["sse", "websocket"])
GENEROUS_S = 20.0
STATUS = '{"id":"1","content":"one\u2028two\u0085three <p>\\u00e9</p>"}'


class MastodonServer:
    """Answers the first request with the first handler, and so on; the last one goes on."""

    def __init__(self, handlers: tuple[Handler, ...]) -> None:
        self.handlers = list(handlers)
        self.requests: list[web.Request] = []
        self.url = ""
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return await handler(request)

    async def serve(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listening).start()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.ready.set()
        await self.stop.wait()
        # asyncio never closes what it has accepted just before its server is closed.
        self.loop.remove_reader(listening)
        await asyncio.sleep(0)
        await runner.cleanup()
        # A connection that was accepted in the last moment is none of the runner's yet.
        for transport in list(self.loop._transports.values()):
            transport.abort()
        await asyncio.sleep(0)


@contextmanager
def serving(*handlers: Handler) -> Iterator[MastodonServer]:
    server = MastodonServer(handlers)
    with asyncio.Runner(loop_factory=lambda: server.loop) as runner:
        thread = threading.Thread(target=lambda: runner.run(server.serve()))
        thread.start()
        assert server.ready.wait(GENEROUS_S)
        try:
            yield server
        finally:
            server.loop.call_soon_threadsafe(server.stop.set)
            thread.join()


class Heard:
    """Streams, and all that they have put."""

    def __init__(self, **options: Any) -> None:
        self.queue: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
        self.all: list[StreamItem] = []
        options = {"clock": FAST, "heartbeat_timeout_s": GENEROUS_S, **options}
        self.streams = MastodonStreams(self.queue.put, **options)

    def next(self) -> StreamItem:
        self.all.append(self.queue.get(timeout=GENEROUS_S))
        return self.all[-1]

    def event(self) -> StreamEvent:
        item = self.next()
        assert isinstance(item, StreamEvent)
        return item

    def opened(self) -> Opened:
        item = self.next()
        assert isinstance(item, Opened)
        return item

    def cut(self, kind: type[Exception], reason: str) -> Any:
        item = self.next()
        assert isinstance(item, Cut)
        assert type(item.error) is kind
        assert reason in str(item.error)
        return item.error

    def follow(
        self, server: MastodonServer, transport: Transport, *tags: str, name: str = "f"
    ) -> None:
        feed = Feed(
            name=name,
            url=server.url,
            tags=tags or ("news",),
            transport=transport,
            token=TOKEN,
            user_agent=AGENT,
        )
        assert TOKEN not in repr(feed)
        self.streams.follow(feed)


class Lines(logging.Handler):
    """All that is logged, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.name} {record.levelname} {self.format(record)}\n"


@contextmanager
def listening(**options: Any) -> Iterator[Heard]:
    """Streams that never show the token, in whatever they put or log."""
    lines = Lines()
    logger = logging.getLogger()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    ears = Heard(**options)
    try:
        yield ears
    finally:
        ears.streams.close()
        logger.removeHandler(lines)
        logger.setLevel(level)
    assert TOKEN not in lines.text + repr(ears.all)
    assert not re.search(r"^mastostream\S* ERROR", lines.text, re.MULTILINE)
    errors = [item.error for item in ears.all if isinstance(item, Cut)]
    assert all(error.__context__ is error.__cause__ is None for error in errors)


Send = Callable[[str, str], Awaitable[None]]
Script = Callable[[Send, web.Request], Awaitable[None]]


def speaking(transport: Transport, script: Script) -> Handler:
    """Open a stream as Mastodon does, then do what the script says, then end it cleanly."""

    async def sse(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b":)\n")

        async def send(event: str, payload: str) -> None:
            await response.write(f"event: {event}\n".encode())
            await response.write(f"data: {payload}\n\n".encode())

        await script(send, request)
        return response

    async def websocket(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        await socket.receive()

        async def send(event: str, payload: str) -> None:
            message = {"stream": ["hashtag", "news"], "event": event, "payload": payload}
            await socket.send_str(json.dumps(message, ensure_ascii=False))

        await script(send, request)
        await socket.close()
        return socket

    return sse if transport == "sse" else websocket


async def for_ever() -> None:
    await asyncio.sleep(3600)


def break_off(request: web.Request) -> None:
    """End the connection in the middle of what is being sent."""
    assert request.transport is not None
    request.transport.close()


def answering(status: int, headers: dict[str, str] | None = None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no"}, status=status, headers=headers)

    return handler
