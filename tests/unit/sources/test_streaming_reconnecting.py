"""How long a stream that was cut waits before it comes back."""

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from mastostream.exceptions import RetriableError
from mastostream.sources.mastodon.streaming.reconnecting import backoff_s
from mastostream.testing.fakes import FakeClock

from .streaming_server import (
    BOTH,
    Send,
    Transport,
    answering,
    break_off,
    for_ever,
    listening,
    serving,
    speaking,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def longest(_: float, most: float) -> float:
    """Each wait is the longest that it may be."""
    return most


@given(st.integers(0, 10_000))
def test_a_wait_is_anything_up_to_the_double_of_the_last(failures: int) -> None:
    assert 0 <= backoff_s(failures) <= min(60, 2**failures)


@BOTH
def test_waits_grow_while_nothing_comes(transport: Transport, clock: FakeClock) -> None:
    async def nothing(send: Send, request: web.Request) -> None:
        break_off(request)

    trouble = [answering(503)] * 3
    with (
        serving(*trouble, speaking(transport, nothing)) as server,
        listening(clock=clock, jitter=longest) as ears,
    ):
        ears.follow(server, transport)
        for _ in trouble:
            ears.cut(RetriableError, "503")
        for _ in range(6):
            ears.opened()
            ears.cut(RetriableError, "")
    assert clock.real_waits_s[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


@BOTH
def test_waits_begin_anew_after_an_event(transport: Transport, clock: FakeClock) -> None:
    async def one(send: Send, request: web.Request) -> None:
        await send("delete", "1")

    async def end(send: Send, request: web.Request) -> None:
        await for_ever()

    handlers = [answering(503)] * 3 + [speaking(transport, one)] * 2 + [speaking(transport, end)]
    with serving(*handlers) as server, listening(clock=clock, jitter=longest) as ears:
        ears.follow(server, transport)
        for _ in range(3):
            ears.cut(RetriableError, "503")
        for _ in range(2):
            ears.opened()
            ears.event()
            ears.cut(RetriableError, "ended")
        ears.opened()
    assert clock.real_waits_s == [1, 2, 4, 1, 1]


def test_the_server_says_when_to_come_back(clock: FakeClock) -> None:
    async def end(send: Send, request: web.Request) -> None:
        await for_ever()

    busy = answering(429, {"Retry-After": "70"})
    with (
        serving(busy, busy, speaking("sse", end)) as server,
        listening(clock=clock, jitter=longest) as ears,
    ):
        ears.follow(server, "sse")
        for _ in range(2):
            ears.cut(RetriableError, "429")
        ears.opened()
    assert clock.real_waits_s == [71, 72]
