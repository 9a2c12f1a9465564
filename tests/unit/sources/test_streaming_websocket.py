"""What only a WebSocket does."""

import threading

import pytest
from aiohttp import WSMsgType, web

from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.stream import Opened

from .streaming_server import (
    GENEROUS_S,
    for_ever,
    listening,
    serving,
)


def test_pongs_keep_a_quiet_websocket() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.receive()
        await socket.ping(b"are you there?")
        pongs = pings = 0
        while pongs < 1 or pings < 4:
            message = await socket.receive()
            pongs += message.type is WSMsgType.PONG
            if message.type is WSMsgType.PING:
                pings += 1
                await socket.pong(message.data)
        await socket.send_str('{"event":"delete","payload":"1","stream":["hashtag","news"]}')
        await for_ever()
        return socket

    with serving(handler) as server, listening(heartbeat_timeout_s=0.9) as ears:
        ears.follow(server, "websocket")
        ears.opened()
        assert (ears.event().data, len(server.requests)) == (b"1", 1)


def test_one_websocket_brings_all_hashtags() -> None:
    asked: list[object] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked.extend([await socket.receive_json() for _ in range(3)])
        for stream in (["hashtag", "News"], ["hashtag", "cafe"], ["hashtag", "日本語"], ["public"]):
            await socket.send_json({"stream": stream, "event": "delete", "payload": "1"})
        await for_ever()
        return socket

    with serving(handler) as server, listening() as ears:
        ears.follow(server, "websocket", "news", "Caf\u00e9", "日本語")
        assert ears.next() == Opened("f", ("news", "Caf\u00e9", "日本語"))
        assert [ears.event().tag for _ in range(4)] == ["news", "Caf\u00e9", "日本語", None]
        assert len(server.requests) == 1
        assert server.requests[0].path == "/api/v1/streaming"
        assert asked == [
            {"type": "subscribe", "stream": "hashtag", "tag": tag}
            for tag in ("news", "Caf\u00e9", "日本語")
        ]


@pytest.mark.parametrize(
    ("message", "event", "data"),
    [
        ('{"event":"filters_changed"}', "filters_changed", b""),
        ('{"event":"update","payload":{"id": "1"}}', "update", b'{"id": "1"}'),
        ('{"event":"delete","payload":1}', "delete", b"1"),
        ("no JSON", "message", b"no JSON"),
        ('["no object"]', "message", b'["no object"]'),
        ('{"event":"update","payload":"\\ud800"}', "message", None),
    ],
)
def test_an_odd_message_is_handed_on(message: str, event: str, data: bytes | None) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(message)
        await for_ever()
        return socket

    with serving(handler) as server, listening() as ears:
        ears.follow(server, "websocket")
        ears.opened()
        item = ears.event()
        assert (item.event, item.data) == (event, message.encode() if data is None else data)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (401, FatalError, "mastostream login"),
        (400, FatalError, "no such stream"),
        (500, RetriableError, "trouble of its own"),
    ],
)
def test_a_refused_subscription_ends_the_feed(
    status: int, kind: type[Exception], reason: str
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"error": "no", "status": status})
        async for _ in socket:
            pass
        return socket

    with serving(handler) as server, listening() as ears:
        ears.follow(server, "websocket", "a", "b")
        ears.opened()
        ears.cut(kind, reason)


def test_a_paused_websocket_gives_signs_of_life() -> None:
    pongs = threading.Semaphore(0)

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str('{"event":"delete","payload":"1"}')
        async for message in socket:
            if message.type is WSMsgType.PONG:
                pongs.release()
        return socket

    with serving(handler) as server, listening(heartbeat_timeout_s=1.0) as ears:
        ears.streams.pause(paused=True)
        ears.follow(server, "websocket")
        ears.opened()
        assert all(pongs.acquire(timeout=GENEROUS_S) for _ in range(3))
        ears.streams.pause(paused=False)
        assert ears.event().data == b"1"
