"""Faults: each does what its name says, for as long as it is asked for."""

import json
import time
from collections.abc import Iterator

import pytest
import requests
from websockets.exceptions import ConnectionClosed

from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import (
    FAULT_KINDS,
    Fault,
    FaultPlan,
    Fediverse,
    SimulatedServer,
    TrafficProfile,
)

from .clients import START, get, received, sse, until, websocket

TIMELINE = "/api/v1/timelines/tag/news"
HASTY = TrafficProfile(posts_per_s=2, hasty_share=0.5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> Iterator[SimulatedServer]:
    sea = Fediverse(hosts=("one.example",), start_ms=START - 60_000, traffic_profile=HASTY)
    with SimulatedServer(
        clock=clock, fediverse=sea, host="one.example", heartbeat_s=20, ping_s=100_000
    ) as running:
        yield running


def test_an_answer_that_was_asked_to_fail_does_and_the_next_does_not(
    server: SimulatedServer,
) -> None:
    server.faults.add("rate_limited")
    server.faults.add("rate_limited_bare", 2)
    server.faults.add(Fault(status=502, headers={"X-More": "1"}))
    limited = get(server, TIMELINE)
    assert (limited.status_code, limited.headers["X-RateLimit-Remaining"]) == (429, "0")
    for _ in range(2):
        bare = get(server, TIMELINE)
        assert bare.status_code == 429
        assert not [name for name in bare.headers if name.lower().startswith("x-rate")]
    assert server.faults.left() == 1
    failed = get(server, TIMELINE)
    assert (failed.status_code, failed.headers["X-More"]) == (502, "1")
    assert get(server, TIMELINE).status_code == 200
    assert server.usage.over_limit == 0


def test_broken_bodies(server: SimulatedServer, clock: FakeClock) -> None:
    server.faults.add("cut")
    with pytest.raises(requests.exceptions.RequestException):
        get(server, TIMELINE)
    server.faults.add("truncated")
    half = get(server, TIMELINE)
    assert half.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        half.json()
    server.faults.add("slow")
    assert get(server, TIMELINE).status_code == 200
    assert 15.0 in clock.real_waits_s
    with pytest.raises(ValueError, match="begin"):
        server.faults.add("restart")
    with pytest.raises(ValueError, match="none of"):
        server.faults.begin("earthquake")  # type: ignore[arg-type]  # that is the point


def test_a_closed_feed_is_empty_and_the_server_says_so(server: SimulatedServer) -> None:
    with server.faults.during("closed_feed"):
        assert get(server, TIMELINE).json() == []
        access = get(server, "/api/v2/instance").json()["configuration"]["timelines_access"]
        assert access["hashtag_feeds"] == {"local": "disabled", "remote": "disabled"}
    assert get(server, TIMELINE).json()


def test_endpoints_that_are_missing(server: SimulatedServer) -> None:
    with server.faults.during("no_lookup"), server.faults.during("no_streaming"):
        assert get(server, "/api/v1/statuses", **{"id[]": "1"}).status_code == 404
        assert get(server, "/api/v1/streaming/public", "t").status_code == 404
        assert get(server, TIMELINE).status_code == 200


def test_a_fault_lasts_as_long_as_it_was_begun_for(
    server: SimulatedServer, clock: FakeClock
) -> None:
    server.faults.begin("server_error", seconds=60)
    clock.ms += 59_999
    assert get(server, TIMELINE).status_code == 503
    assert get(server, "/api/v1/streaming/public", "t").status_code == 503
    clock.ms += 1
    assert get(server, TIMELINE).status_code == 200


def test_a_silent_stream_beats_on_and_loses_events(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with sse(server, "/public") as stream:
        with server.faults.during("silent_streams"):
            clock.ms += 30_000
            server.advance()
            beats = stream.body.count(b":thump")
            stream.read_until(lambda: stream.body.count(b":thump") > beats + 4)
            assert stream.events == []
        lost_until_ms = clock.ms
        clock.ms += 30_000
        server.advance()
        stream.read_until(lambda: len(stream.events) > 20)
        for event, data in stream.events:
            if event == "update":
                post = server.world.find(json.loads(data)["id"], lost_until_ms)
                assert post is None or post.arrived_ms > lost_until_ms


def test_a_dead_stream_stays_open_and_sends_nothing_for_ever(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with sse(server, "/public") as stream, websocket(server, "?stream=public") as connection:
        stream.read_until(lambda: b":thump" in stream.body)
        server.faults.begin("dead_streams", seconds=1)
        until(lambda: all(client._dead for client in server._site.hub.clients()))  # type: ignore[attr-defined]  # there is no other sign of death
        clock.ms += 30_000
        server.advance()
        with sse(server, "/public") as another:
            clock.ms += 30_000
            server.advance()
            another.read_until(lambda: len(another.events) > 10)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.05)
        stream.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.read_until(lambda: bool(stream.events))


def test_cut_and_ended_streams(server: SimulatedServer) -> None:
    with sse(server, "/public") as stream, websocket(server, "?stream=public") as connection:
        server.faults.begin("cut_streams")
        stream.wait_for_end()
        assert not stream.raw.endswith(b"0\r\n\r\n")
        with pytest.raises(ConnectionClosed) as raised:
            connection.recv(timeout=5)
        assert raised.value.rcvd is None
    for end in (lambda: server.faults.begin("ended_streams"), server.end_streams):
        until(lambda: server.listeners() == 0)
        with sse(server, "/public") as stream, sse(server, "/public") as second:
            end()
            for each in (stream, second):
                each.wait_for_end()
                assert each.raw.endswith(b"0\r\n\r\n")
    until(lambda: server.listeners() == 0)
    with sse(server, "/public") as stream:
        server.cut_streams()
        stream.wait_for_end()
        assert not stream.raw.endswith(b"0\r\n\r\n")


def test_deletions_overtake_their_posts_and_edits_do(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with server.faults.during("overtaking_deletes"), sse(server, "/public") as stream:
        for _ in range(120):
            clock.ms += 500
            server.advance()
            time.sleep(0.001)
        clock.ms += 5_000
        server.advance()
        stream.read_until(lambda: len(stream.events) > 100)
        order = [
            (event, data if event == "delete" else json.loads(data)["id"])
            for event, data in stream.events
        ]
    pairs = [
        (order.index(("update", post_id)), place)
        for place, (event, post_id) in enumerate(order)
        if event == "delete" and ("update", post_id) in order
    ]
    assert sum(update > delete for update, delete in pairs) > 10


def test_events_are_swapped(server: SimulatedServer, clock: FakeClock) -> None:
    with server.faults.during("swapped_events"), websocket(server, "?stream=public") as connection:
        for _ in range(120):
            clock.ms += 500
            server.advance()
            time.sleep(0.001)
        clock.ms += 5_000
        server.advance()
        messages = [received(connection) for _ in range(100)]
    ids = [int(json.loads(m["payload"])["id"]) for m in messages if m["event"] == "update"]
    assert ids != sorted(ids)
    kinds = [
        (m["event"], json.loads(m["payload"])["id"]) for m in messages if m["event"] != "delete"
    ]
    edits = [post_id for event, post_id in kinds if event == "status.update"]
    early = [
        post_id
        for post_id in edits
        if ("update", post_id) in kinds
        and kinds.index(("status.update", post_id)) < kinds.index(("update", post_id))
    ]
    assert early


def test_an_unavailable_server_answers_503_to_everything(server: SimulatedServer) -> None:
    with sse(server, "/public") as stream:
        with server.faults.during("unavailable"):
            stream.wait_for_end()
            for path in (TIMELINE, "/api/v2/instance", "/api/v1/streaming/public"):
                assert get(server, path, "t").status_code == 503
        assert get(server, TIMELINE).status_code == 200


def test_a_restart_refuses_connections_and_forgets_its_streams(
    server: SimulatedServer, clock: FakeClock
) -> None:
    with sse(server, "/public") as stream, websocket(server, "?stream=public") as connection:
        server.restart(60)
        stream.wait_for_end()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=5)
    with pytest.raises(requests.ConnectionError):
        get(server, TIMELINE)
    clock.ms += 61_000

    def answers() -> bool:
        try:
            return bool(get(server, TIMELINE).json())
        except requests.ConnectionError:
            return False

    until(answers)
    assert server.listeners() == 0
    back_ms = clock.ms
    with sse(server, "/public") as stream:
        clock.ms += 20_000
        server.advance()
        stream.read_until(lambda: len(stream.events) > 10)
        events = [json.loads(data)["id"] for event, data in stream.events if event == "update"]
    arrived = [post.arrived_ms for post in server.world.posts if post.id in events]
    assert min(arrived) > back_ms


def test_a_plan_follows_from_its_seed_and_lets_one_thing_happen_at_a_time() -> None:
    plan, same = (FaultPlan(seed=7, every_s=600, lasting_s=(5, 120)) for _ in range(2))
    minutes = [START + minute * 15_000 for minute in range(20_000)]
    found = [plan.active(now_ms) for now_ms in minutes]
    assert found == [same.active(now_ms) for now_ms in minutes]
    assert found != [FaultPlan(seed=8).active(now_ms) for now_ms in minutes]
    assert {*found} == {None, *FAULT_KINDS}
    now_ms, changes = START, []
    while now_ms < START + 3_600_000:
        now_ms = plan.next_change_ms(now_ms)
        assert plan.active(now_ms) != plan.active(now_ms - 1)
        changes.append(now_ms)
    assert 11 <= len(changes) <= 14


def test_a_plan_is_followed(clock: FakeClock) -> None:
    plan = FaultPlan(kinds=("server_error",), every_s=60, lasting_s=(10, 20))
    with SimulatedServer(clock=clock, plan=plan, rate_limit=None) as running:
        for _ in range(20):
            clock.ms = plan.next_change_ms(clock.ms)
            expected = 503 if plan.active(clock.ms) else 200
            assert get(running, TIMELINE).status_code == expected
