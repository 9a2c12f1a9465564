"""Limits of requests: fixed windows of the simulated clock, and what the answers tell of them."""

import pytest
import requests

from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import Fediverse, SimulatedServer

from .clients import START, get

TIMELINE = "/api/v1/timelines/tag/news"
WINDOW_MS = 300_000
BEGIN = START - START % 900_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(BEGIN)


def left(answer: requests.Response) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


def test_a_window_is_one_of_the_clock_and_the_next_begins_anew(clock: FakeClock) -> None:
    with SimulatedServer(clock=clock, rate_limit=3) as server:
        clock.ms = BEGIN + WINDOW_MS - 1
        first = get(server, TIMELINE)
        assert first.headers["X-RateLimit-Limit"] == "3"
        assert left(first) == 2
        assert first.headers["X-RateLimit-Reset"] == "2025-06-15T15:05:00.000000Z"
        assert [get(server, TIMELINE).status_code for _ in range(3)] == [200, 200, 429]
        refused = get(server, TIMELINE)
        assert refused.json() == {"error": "Too many requests"}
        assert left(refused) == 0
        assert "Retry-After" not in refused.headers
        clock.ms += 1
        assert left(get(server, TIMELINE)) == 2
        usage = server.usage
    assert (usage.requests, usage.most, usage.most_paging, usage.over_limit) == (6, 5, 0, 2)
    assert usage.paths == {"/api/v1/timelines/tag/{tag}": 6}


@pytest.mark.parametrize("member", ["page", "min_id", "since_id", "max_id"])
def test_requests_that_page_have_a_second_limit_that_is_not_shown(
    clock: FakeClock, member: str
) -> None:
    with SimulatedServer(clock=clock, rate_limit=3) as server:
        page = {member: "1"}
        assert [left(get(server, TIMELINE, **page)) for _ in range(3)] == [2, 1, 0]
        clock.ms += WINDOW_MS
        assert left(get(server, TIMELINE)) == 2
        refused = get(server, TIMELINE, **page)
        assert refused.status_code == 429
        assert left(refused) == 0
        assert refused.headers["X-RateLimit-Reset"] == "2025-06-15T15:15:00.000000Z"
        assert left(get(server, TIMELINE)) == 0
        clock.ms += 2 * WINDOW_MS
        assert get(server, TIMELINE, **page).status_code == 200
        usage = server.usage
    assert (usage.requests, usage.most, usage.most_paging, usage.over_limit) == (7, 3, 4, 1)


def test_each_token_has_its_own_and_those_without_share_their_address(clock: FakeClock) -> None:
    with SimulatedServer(clock=clock, rate_limit=1, token="right") as server:
        assert get(server, TIMELINE, "right").status_code == 200
        assert get(server, TIMELINE, "right").status_code == 429
        assert get(server, TIMELINE, "wrong").status_code == 401
        assert get(server, TIMELINE).status_code == 429


def test_gotosocial_limits_by_address_and_does_not_limit_paging(clock: FakeClock) -> None:
    sea = Fediverse(hosts=("u.example",), families={"u.example": "gotosocial"}, start_ms=BEGIN)
    with SimulatedServer(clock=clock, rate_limit=2, fediverse=sea, host="u.example") as server:
        clock.ms += 60_000
        assert get(server, TIMELINE, "a", min_id="0").status_code == 200
        assert get(server, TIMELINE, "b", min_id="0").status_code == 200
        refused = get(server, TIMELINE, "c")
        assert (refused.status_code, refused.json()) == (429, {"error": "rate limit reached"})
        assert refused.headers["X-RateLimit-Reset"].endswith("Z")
        clock.ms += WINDOW_MS
        assert get(server, TIMELINE, "a", min_id="0").status_code == 200


def test_without_a_limit_nothing_is_refused_or_told(clock: FakeClock) -> None:
    with SimulatedServer(clock=clock, rate_limit=None) as server:
        answers = [get(server, TIMELINE, min_id="1") for _ in range(5)]
        assert all(answer.status_code == 200 for answer in answers)
        assert "X-RateLimit-Limit" not in answers[0].headers
        assert (server.usage.most, server.usage.most_paging) == (5, 5)
