"""Streams, as Mastodon's streaming server and GoToSocial serve them, over the bare connection."""

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import attrs
import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mastostream.ports.clock import ScaledClock
from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import (
    Fediverse,
    SimulatedServer,
    TrafficProfile,
    generate_statuses,
)

from .clients import START, get, received, sse, until, websocket

BUSY = TrafficProfile(posts_per_s=2, hasty_share=0.1, edit_share=0.1, separator_share=0.2)


def make(clock: FakeClock, family: str = "mastodon", **more: object) -> SimulatedServer:
    sea = Fediverse(
        hosts=("one.example",),
        families={"one.example": family},  # type: ignore[dict-item]  # a family
        start_ms=START - 60_000,
        traffic_profile=BUSY,
    )
    return SimulatedServer(clock=clock, fediverse=sea, host="one.example", **more)  # type: ignore[arg-type]  # as it takes them


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> Iterator[SimulatedServer]:
    with make(clock, heartbeat_s=100_000, ping_s=100_000) as running:
        yield running


def expected(server: SimulatedServer, until_ms: int, tag: str | None) -> list[tuple[str, str]]:
    """What a stream should have sent since START: of these tags, and every deletion."""
    world = server.world
    world.advance(until_ms)
    found = []
    for post in world.posts:
        if tag is None or tag in post.tags:
            found.append((post.arrived_ms, "update", post.id))
            found += [
                (edit, "status.update", post.id) for edit in post.edits if edit > post.arrived_ms
            ]
        if post.deleted_ms is not None:
            found.append((post.deleted_ms, "delete", post.id))
    return [(kind, post_id) for at_ms, kind, post_id in sorted(found) if START < at_ms <= until_ms]


def told(events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (event, data if event == "delete" else json.loads(data)["id"]) for event, data in events
    ]


def test_server_sent_events_are_written_as_mastodon_writes_them(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with sse(server, "/hashtag?tag=News") as stream:
        stream.read_until(lambda: stream.body == b":)\n")
        assert "content-type: text/event-stream\r\n" in stream.head
        assert "cache-control: private, no-store" in stream.head
        assert "Transfer-Encoding: chunked" in stream.head
        clock.ms += 120_000
        server.advance()
        truth = expected(server, clock.ms, "news")
        stream.read_until(lambda: len(stream.events) >= len(truth))
        assert sorted(told(stream.events)) == sorted(truth)
        kinds = [event for event, _ in stream.events]
        assert {*kinds} == {"update", "status.update", "delete"}
        assert b"\nevent: delete\ndata: " in stream.body
        assert b"\xe2\x80\xa8" in stream.body
        assert b"\\u2028" not in stream.body
        (first, *_) = (data for event, data in stream.events if event == "update")
        assert json.loads(first)["favourites_count"] == 0


def test_only_what_happens_from_then_on_is_streamed(
    server: SimulatedServer, clock: FakeClock
) -> None:
    clock.ms += 60_000
    with sse(server, "/public") as stream:
        before_ms, clock.ms = clock.ms, clock.ms + 30_000
        server.advance()
        truth = expected(server, clock.ms, None)[len(expected(server, before_ms, None)) :]
        stream.read_until(lambda: len(stream.events) >= len(truth))
        assert told(stream.events) == truth


def test_public_streams_tell_local_and_other_posts_apart(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with sse(server, "/public/local") as local, sse(server, "/hashtag/local?tag=news") as tagged:
        clock.ms += 60_000
        server.advance()
        server.world.advance(clock.ms)
        at_home = {p.id for p in server.world.posts if p.at_home}
        news = {p.id for p in server.world.posts if "news" in p.tags}
        for stream, wanted in ((local, at_home), (tagged, at_home & news)):
            stream.read_until(lambda s=stream, w=wanted: len(s.events) > 5 and w)  # type: ignore[misc]  # mypy cannot infer it
            updates = {post_id for event, post_id in told(stream.events) if event == "update"}
            assert updates
            assert updates <= wanted


def test_heartbeats_come_by_the_servers_clock(clock: FakeClock) -> None:
    with (
        make(clock, heartbeat_s=15) as running,
        sse(running, "/hashtag?tag=%F0%9F%99%82") as stream,
    ):
        stream.read_until(lambda: stream.body.startswith(b":)\n" + b":thump\n" * 10))
        assert clock.real_waits_s.count(15) >= 10


@pytest.mark.parametrize(
    ("path", "token", "status", "error"),
    [
        ("/nothing", None, 400, "Unknown channel requested"),
        ("", "t", 400, "Unknown channel requested"),
        ("/public/", "t", 400, "Unknown channel requested"),
        ("/hashtag?tag=a", None, 401, "Missing access token"),
        ("/hashtag?tag=a", "wrong", 401, "Invalid access token"),
        ("/hashtag", "t", 400, "Missing tag name parameter"),
        ("/hashtag?tag=", "t", 400, "Missing tag name parameter"),
        ("/hashtag?tag=a&tag=b", "t", 500, "An unexpected error occurred"),
        ("/list", "t", 400, "Missing list name parameter"),
        ("/list?list=1", "t", 401, "Not authorized to stream this list"),
    ],
)
def test_a_stream_that_is_refused(path: str, token: str | None, status: int, error: str) -> None:
    with make(FakeClock(), token="t") as running:
        answer = get(running, "/api/v1/streaming" + path, token)
        assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_other_requests_below_streaming(server: SimulatedServer) -> None:
    health = get(server, "/api/v1/streaming/health")
    assert (health.status_code, health.text) == (200, "OK")
    posted = requests.post(server.url + "/api/v1/streaming/public", timeout=5)
    assert posted.status_code == 404
    assert "html" in posted.headers["Content-Type"]


def test_streams_want_the_scope_of_reading_posts() -> None:
    with make(FakeClock(), scopes=("write",)) as running:
        answer = get(running, "/api/v1/streaming/public", "t")
        assert answer.json() == {"error": "Access token does not have the required scopes"}


def test_a_websocket_wraps_events_in_an_envelope(server: SimulatedServer, clock: FakeClock) -> None:
    with websocket(server, "?stream=hashtag&tag=News") as connection:
        clock.ms += 60_000
        server.advance()
        truth = expected(server, clock.ms, "news")
        messages = [received(connection) for _ in truth]
        found = [(message["event"], message["payload"]) for message in messages]
        assert told(found) == truth
        assert {tuple(message["stream"]) for message in messages} == {("hashtag", "News")}
        assert all(set(message) == {"stream", "event", "payload"} for message in messages)


@pytest.mark.parametrize("where", ["header", "query", "protocol"])
def test_a_websockets_token_may_come_in_three_ways(where: str) -> None:
    with make(FakeClock(), token="t") as running:
        more = {"subprotocols": ["t"]} if where == "protocol" else {}
        query = "?access_token=t" if where == "query" else ""
        with websocket(running, query, "t" if where == "header" else None, **more) as connection:
            assert connection.response is not None
            assert connection.response.status_code == 101
            assert "Sec-WebSocket-Extensions" not in connection.response.headers


@pytest.mark.parametrize(
    ("token", "error"), [(None, "Missing access token"), ("wrong", "Invalid access token")]
)
def test_a_websocket_with_a_wrong_token_is_refused_at_once(token: str | None, error: str) -> None:
    with (
        make(FakeClock(), token="t") as running,
        pytest.raises(InvalidStatus) as raised,
        websocket(running, "", token),
    ):
        pass
    answer = raised.value.response
    assert (answer.status_code, answer.body) == (401, b"")
    assert answer.headers["X-Error-Message"] == error


def test_subscribing_and_unsubscribing_by_messages(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with websocket(server) as connection:
        for message in (
            {"type": "subscribe", "stream": "hashtag", "tag": "Art"},
            {"type": "subscribe", "stream": "hashtag", "tag": "ART"},
            {"type": "subscribe", "stream": "hashtag", "tag": "python"},
            {"type": "nonsense"},
            {"type": "subscribe", "stream": "hashtag"},
            {"type": "subscribe", "stream": "rainbow"},
            {"type": "unsubscribe", "stream": "rainbow"},
        ):
            connection.send(json.dumps(message))
        connection.send("no JSON")
        assert received(connection) == {"error": "Missing tag name parameter", "status": 400}
        assert received(connection) == {"error": "Unknown stream type", "status": 400}
        assert received(connection) == {"error": "Error unsubscribing from channel"}
        clock.ms += 60_000
        server.advance()
        truth = [*expected(server, clock.ms, "art"), *expected(server, clock.ms, "python")]
        messages = [received(connection) for _ in truth]
        assert {tuple(m["stream"]) for m in messages} == {("hashtag", "Art"), ("hashtag", "python")}
        connection.send(json.dumps({"type": "unsubscribe", "stream": "hashtag", "tag": "art"}))
        connection.send(json.dumps({"type": "unsubscribe", "stream": "rainbow"}))
        assert "error" in received(connection)
        clock.ms += 60_000
        server.advance()
        assert all(received(connection)["stream"] == ["hashtag", "python"] for _ in range(5))


def test_binary_messages_close_a_websocket(server: SimulatedServer) -> None:
    with websocket(server) as connection:
        connection.send(b"\x00")
        with pytest.raises(ConnectionClosed) as raised:
            connection.recv(timeout=5)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1003


def test_a_client_that_answers_pings_stays(clock: FakeClock) -> None:
    with make(clock, ping_s=20) as running, websocket(running) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
        assert running.listeners() == 1


def test_a_client_that_does_not_answer_pings_is_cut(clock: FakeClock) -> None:
    with make(clock, ping_s=20, pong_timeout_s=0.05) as running:
        where = urlsplit(running.url)
        lines = ["GET /?access_token=t HTTP/1.1", f"Host: {where.netloc}", "Connection: Upgrade"]
        lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}", "", ""]
        with socket.create_connection((where.hostname, where.port), timeout=5) as connection:
            connection.sendall("\r\n".join(lines).encode())
            sent = b""
            while data := connection.recv(65536):
                sent += data
    frames = sent.partition(b"\r\n\r\n")[2]
    assert frames
    assert frames == b"\x89\x00" * (len(frames) // 2)


def test_gotosocials_streams(clock: FakeClock) -> None:
    with make(clock, "gotosocial", token="t") as running:
        for path in ("/hashtag?tag=news", "/public", "/health"):
            answer = get(running, "/api/v1/streaming" + path, "wrong")
            assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})
        assert get(running, "/api/v1/streaming").text == "Bad Request"
        for token, error in (("x", "Unauthorized"), (None, "Unauthorized: token not supplied")):
            with pytest.raises(InvalidStatus) as raised, websocket(running, "", token):
                pass
            assert json.loads(raised.value.response.body or b"") == {"error": error}
        with (
            websocket(running, "?stream=hashtag&tag=news") as silent,
            websocket(running, "?stream=public") as public,
        ):
            clock.ms += 60_000
            running.advance()
            truth = expected(running, clock.ms, None)
            found = [received(public) for _ in truth]
            assert told([(m["event"], m["payload"]) for m in found]) == truth
            with pytest.raises(TimeoutError):
                silent.recv(timeout=0.05)
        assert running.usage.requests == 4


def test_a_revoked_token_ends_its_streams_cleanly(server: SimulatedServer) -> None:
    with (
        sse(server, "/public") as stream,
        websocket(server, "?stream=public") as connection,
        sse(server, "/public", "other") as other,
    ):
        server.revoke("t")
        stream.wait_for_end()
        assert stream.raw.endswith(b"\r\n0\r\n\r\n")
        with pytest.raises(ConnectionClosed) as raised:
            connection.recv(timeout=5)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1005
        until(lambda: server.listeners() == 1)
        server.push("update", b"{}", "x")
        other.read_until(lambda: other.events == [("update", "{}")])


def test_events_are_pushed_when_the_clock_gets_there() -> None:
    clock = ScaledClock(time.time_ns() // 1_000_000, START, 300)
    sea = Fediverse(
        hosts=("one.example",), start_ms=START, traffic_profile=TrafficProfile(posts_per_s=0.3)
    )
    delays = []
    with (
        SimulatedServer(clock=clock, fediverse=sea, host="one.example") as running,
        websocket(running, "?stream=public") as connection,
    ):
        while len(delays) < 40:
            message = received(connection)
            now_ms = clock.now_ms()
            if message["event"] == "update":
                posts = {post.id: post for post in running.world.posts}
                delays.append(now_ms - posts[json.loads(message["payload"])["id"]].arrived_ms)
    assert min(delays) >= 0


def test_the_pusher_sleeps_until_something_happens(
    server: SimulatedServer, clock: FakeClock
) -> None:
    """Else what happens would come late, or the machine would never rest."""
    next_ms = server.world.next_ms(clock.ms)
    until(lambda: (next_ms - clock.ms) / 1000 in clock.real_waits_s)


def test_raw_events_are_pushed_without_a_wait_for_each(
    server: SimulatedServer, clock: FakeClock
) -> None:
    payload = next(iter(generate_statuses(1)))
    with (
        sse(server, f"/hashtag?tag={quote('bücher')}") as stream,
        websocket(server, "?stream=hashtag&tag=BUCHER") as connection,
    ):
        count = 500
        waits = len(clock.real_waits_s)
        pushing = threading.Thread(
            target=lambda: [server.push("update", payload, "Bücher") for _ in range(count)]
        )
        pushing.start()
        for _ in range(count):
            message = connection.recv(timeout=5)
        stream.read_until(lambda: stream.raw.count(b"event: update") == count)
        assert len(clock.real_waits_s) - waits < count
        pushing.join()
        assert json.loads(message)["payload"].encode() == payload
        assert stream.events[-1] == ("update", payload.decode())


def test_a_post_and_its_id_are_the_same_in_the_stream_and_in_the_timeline(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with sse(server, "/hashtag?tag=news") as stream:
        clock.ms += 30_000
        server.advance()
        stream.read_until(lambda: len(stream.events) >= 8)
        streamed = {
            json.loads(data)["id"]: data for event, data in stream.events if event == "update"
        }
        page = get(server, "/api/v1/timelines/tag/news", limit=40).json()
        for status in page:
            if status["id"] in streamed and not status["edited_at"]:
                sent = json.loads(streamed[status["id"]])
                counts = {name: 0 for name in status if name.endswith("_count")}
                assert sent | counts == status | counts


def test_settings_of_the_traffic_profile_are_checked() -> None:
    with pytest.raises(ValueError, match="late_share"):
        attrs.evolve(TrafficProfile(), late_share=2.0)
