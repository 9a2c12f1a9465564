"""The stream client, against small servers on the loopback that do what real ones do."""

import asyncio
import queue
import subprocess
import sys
import threading

import pytest
from aiohttp import web

from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.stream import Cut, Feed, Opened, StreamEvent, StreamItem
from mastostream.sources.mastodon.streaming import MastodonStreams

from .streaming_server import (
    AGENT,
    BOTH,
    FAST,
    GENEROUS_S,
    STATUS,
    TOKEN,
    Send,
    Transport,
    answering,
    break_off,
    for_ever,
    listening,
    serving,
    speaking,
)


@BOTH
def test_events_come_as_they_were_sent(transport: Transport) -> None:
    async def script(send: Send, request: web.Request) -> None:
        await send("update", STATUS)
        await send("status.update", STATUS)
        await send("delete", "1")
        await for_ever()

    with serving(speaking(transport, script)) as server, listening() as ears:
        ears.follow(server, transport)
        assert ears.next() == Opened("f", ("news",))
        events = [ears.event() for _ in range(3)]
        assert [event.event for event in events] == ["update", "status.update", "delete"]
        assert [event.data for event in events] == [STATUS.encode(), STATUS.encode(), b"1"]
        assert {(event.feed, event.tag) for event in events} == {("f", "news")}
        assert all(0 <= FAST.now_ms() - event.received_ms < 5e5 * GENEROUS_S for event in events)
        (request,) = server.requests
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["User-Agent"] == AGENT
        assert TOKEN not in str(request.url)


@pytest.mark.parametrize("tag", ["c++ & C#/?", "日本語", "caf\u00e9"])
def test_a_hashtag_is_asked_for_as_it_is(tag: str) -> None:
    async def script(send: Send, request: web.Request) -> None:
        await for_ever()

    with serving(speaking("sse", script)) as server, listening() as ears:
        ears.follow(server, "sse", tag)
        assert ears.opened().tags == (tag,)
        (request,) = server.requests
        assert request.path == "/api/v1/streaming/hashtag"
        assert dict(request.query) == {"tag": tag}
        assert request.headers["Accept"] == "text/event-stream"


@BOTH
def test_a_long_event_comes_whole(transport: Transport) -> None:
    long = "x" * 6_000_000

    async def script(send: Send, request: web.Request) -> None:
        await send("update", long)
        await for_ever()

    with serving(speaking(transport, script)) as server, listening() as ears:
        ears.follow(server, transport)
        ears.opened()
        assert ears.event().data == long.encode()


@BOTH
def test_a_revoked_token_is_a_clean_end_and_then_a_refusal(transport: Transport) -> None:
    async def script(send: Send, request: web.Request) -> None:
        await send("delete", "1")

    with serving(speaking(transport, script), answering(401)) as server, listening() as ears:
        ears.follow(server, transport)
        ears.opened()
        assert ears.event().data == b"1"
        ears.cut(RetriableError, "ended the stream (a revoked token looks like this)")
        ears.cut(FatalError, "mastostream login")
        assert len(server.requests) == 2


@BOTH
def test_a_broken_stream_comes_back_without_the_half_event(transport: Transport) -> None:
    async def broken(send: Send, request: web.Request) -> None:
        await send("delete", "1")
        if transport == "sse":
            await request.writer.write(b"10\r\nevent: update\nda")  # type: ignore[attr-defined]
        break_off(request)
        await for_ever()

    async def whole(send: Send, request: web.Request) -> None:
        await send("delete", "2")
        await for_ever()

    with (
        serving(speaking(transport, broken), speaking(transport, whole)) as server,
        listening() as ears,
    ):
        ears.follow(server, transport)
        ears.opened()
        assert ears.event().data == b"1"
        ears.cut(RetriableError, "the connection broke")
        ears.opened()
        assert ears.event().data == b"2"


@BOTH
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "mastostream login"),
        (403, "mastostream login"),
        (404, "no such stream"),
        (400, "no such stream"),
        (422, "no such stream"),
        (200, "no such stream"),
    ],
)
def test_a_refusal_is_for_good(status: int, reason: str, transport: Transport) -> None:
    with serving(answering(status)) as server, listening() as ears:
        ears.follow(server, transport)
        ears.cut(FatalError, reason)
        assert len(server.requests) == 1


@BOTH
@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_passes(status: int, transport: Transport) -> None:
    async def script(send: Send, request: web.Request) -> None:
        await for_ever()

    trouble = answering(status, {"Retry-After": "70"})
    with serving(trouble, trouble, speaking(transport, script)) as server, listening() as ears:
        ears.follow(server, transport)
        for _ in range(2):
            error = ears.cut(RetriableError, str(status))
            assert error.retry_after_s == (70.0 if status == 429 else None)
        ears.opened()


def test_a_server_that_is_not_there_is_waited_for() -> None:
    with serving(answering(404)) as server:
        pass
    with listening() as ears:
        ears.follow(server, "sse")
        ears.follow(server, "websocket", name="w")
        for _ in range(6):
            ears.cut(RetriableError, "nothing listens there")


@BOTH
def test_a_silent_stream_is_dead(transport: Transport) -> None:
    async def script(send: Send, request: web.Request) -> None:
        await send("delete", "1")
        await for_ever()  # and answers no ping

    with serving(speaking(transport, script)) as server, listening(heartbeat_timeout_s=0.3) as ears:
        ears.follow(server, transport)
        for _ in range(2):
            ears.opened()
            assert ears.event().data == b"1"
            ears.cut(RetriableError, "has sent nothing for 0.3 s")


def test_heartbeats_keep_a_quiet_stream() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(12):
            await response.write(b":thump\n")
            await asyncio.sleep(0.1)
        await response.write(b"data: 1\n\n")
        await for_ever()
        return response

    with serving(handler) as server, listening(heartbeat_timeout_s=0.8) as ears:
        ears.follow(server, "sse")
        ears.opened()
        assert (ears.event().event, len(server.requests)) == ("message", 1)


def test_connections_are_made_four_at_a_time() -> None:
    now = most = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(now, most)
        await asyncio.sleep(0.02)
        now -= 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await for_ever()
        return response

    with serving(handler) as server, listening() as ears:
        tags = [f"t{number}" for number in range(30)]
        ears.follow(server, "sse", *tags)
        assert {ears.opened().tags[0] for _ in tags} == set(tags)
        assert most == 4


def test_a_feed_that_is_not_followed_any_more_is_not_heard() -> None:
    gone = threading.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"data: 1\n\n")
                await asyncio.sleep(0.005)
        finally:
            if request.query["tag"] == "a":
                gone.set()

    with serving(endless) as server, listening() as ears:
        ears.follow(server, "sse", "a", name="a")
        ears.follow(server, "sse", "b", name="b")
        while {item.feed for item in ears.all if isinstance(item, StreamEvent)} != {"a", "b"}:
            ears.next()
        ears.streams.unfollow("a")
        ears.streams.unfollow("unknown")
        assert gone.wait(GENEROUS_S)
        while not ears.queue.empty():
            ears.next()
        assert {ears.event().feed for _ in range(20)} == {"b"}
        ears.follow(server, "sse", "c", name="b")  # takes the place of the other
        while ears.next() != Opened("b", ("c",)):
            pass
        assert {ears.event().tag for _ in range(20)} == {"c"}


@pytest.mark.parametrize("paused", [False, True])
def test_closing_is_quick_and_final(paused: bool) -> None:
    async def deaf(request: web.Request) -> web.StreamResponse:
        await for_ever()
        raise AssertionError

    async def script(send: Send, request: web.Request) -> None:
        while True:
            await send("update", STATUS)
            await asyncio.sleep(0)

    handlers = (speaking("sse", script), speaking("websocket", script), deaf)
    with serving(*handlers) as server, listening() as ears:
        ears.follow(server, "sse", name="1")
        ears.opened()
        ears.follow(server, "websocket", name="2")
        ears.follow(server, "websocket", name="3")
        while len(server.requests) < 3:
            ears.next()
        ears.streams.pause(paused=paused)
        ears.streams.close()
        assert_no_streams()
        size = ears.queue.qsize()
        ears.streams.close()
        ears.streams.pause(paused=False)
        ears.streams.unfollow("1")
        with pytest.raises(RuntimeError, match="closed"):
            ears.follow(server, "sse")
        assert ears.queue.qsize() == size


def assert_no_streams() -> None:
    """Closing has ended their thread, within the time that it waits for it."""
    assert "mastodon-streams" not in {thread.name for thread in threading.enumerate()}


def test_a_server_that_does_not_listen_is_not_waited_for() -> None:
    sent = threading.Semaphore(0)

    async def never_listening(send: Send, request: web.Request) -> None:
        while True:
            await send("update", STATUS)
            sent.release()
            await asyncio.sleep(0.02)

    with serving(speaking("websocket", never_listening)) as server, listening() as ears:
        ears.follow(server, "websocket")
        ears.opened()
        ears.event()
        ears.streams.pause(paused=True)
        for _ in range(10):
            assert sent.acquire(timeout=GENEROUS_S)
        ears.streams.close()
        assert_no_streams()


def test_nothing_starts_before_the_first_feed() -> None:
    before = threading.active_count()
    with listening() as ears:
        ears.streams.pause(paused=True)
        ears.streams.unfollow("f")
        assert threading.active_count() == before
    code = "import sys, mastostream.sources.mastodon.streaming; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code]) == 0


def test_an_error_of_ours_is_told(caplog: pytest.LogCaptureFixture) -> None:
    items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()

    def put(item: StreamItem) -> None:
        items.put(item)
        if isinstance(item, Opened):
            raise KeyError("a mistake")

    async def script(send: Send, request: web.Request) -> None:
        await for_ever()

    with serving(speaking("sse", script)) as server:
        streams = MastodonStreams(put, clock=FAST)
        feed = Feed(name="f", url=server.url, tags=("news",), transport="sse")
        streams.follow(feed)
        assert items.get(timeout=GENEROUS_S) == Opened("f", ("news",))
        cut = items.get(timeout=GENEROUS_S)
        assert isinstance(cut, Cut)
        assert str(cut.error) == "the stream ended by an error of ours: KeyError"
        streams.close()
    assert "an error of ours" in caplog.text
