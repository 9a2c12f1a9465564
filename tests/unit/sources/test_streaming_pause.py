"""Paused streams hold what the servers send, and lose nothing."""

import asyncio
import threading
import time

from aiohttp import web

from mastostream.exceptions import RetriableError

from .streaming_server import (
    BOTH,
    GENEROUS_S,
    Send,
    Transport,
    break_off,
    for_ever,
    listening,
    serving,
    speaking,
)


@BOTH
def test_a_pause_holds_the_server_and_loses_nothing(transport: Transport) -> None:
    sent = 0

    async def script(send: Send, request: web.Request) -> None:
        nonlocal sent
        for number in range(400):
            await send("update", f"{number} " + "x" * 65_536)
            sent += 1
        await for_ever()

    with serving(speaking(transport, script)) as server, listening(heartbeat_timeout_s=1.0) as ears:
        ears.streams.pause(paused=True)
        ears.follow(server, transport)
        ears.opened()
        before = -1
        while sent != before:  # it ends when the server can send no more
            before = sent
            time.sleep(0.3)
        assert ears.queue.empty()
        assert sent < 400
        ears.streams.pause(paused=False)
        numbers = [int(ears.event().data.split()[0]) for _ in range(400)]
        assert numbers == list(range(400))
        assert len(server.requests) == 1


@BOTH
def test_what_came_before_a_break_in_a_pause_is_not_lost(transport: Transport) -> None:
    broken = threading.Event()

    async def script(send: Send, request: web.Request) -> None:
        for number in range(100):
            await send("update", f"{number} " + "x" * 3_000)
            await asyncio.sleep(0.001)
        break_off(request)
        broken.set()
        await for_ever()

    with serving(speaking(transport, script)) as server, listening(heartbeat_timeout_s=0.9) as ears:
        ears.streams.pause(paused=True)
        ears.follow(server, transport)
        ears.opened()
        assert broken.wait(GENEROUS_S)
        time.sleep(0.3)
        assert ears.queue.empty()
        ears.streams.pause(paused=False)
        numbers = [int(ears.event().data.split()[0]) for _ in range(100)]
        assert numbers == list(range(100))
        ears.cut(RetriableError, "")
