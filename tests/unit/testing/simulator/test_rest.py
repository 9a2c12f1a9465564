"""What the simulated servers answer over real HTTP, family by family."""

import sys
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests

from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import Fediverse, SimulatedServer, TrafficProfile, serving
from mastostream.testing.simulator.timelines import Paging
from mastostream.testing.simulator.world import World

from .clients import START, get, ids

TIMELINE = "/api/v1/timelines/tag/news"
NOW = START + 600_000
Servers = tuple[SimulatedServer, SimulatedServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    sea = Fediverse(
        hosts=("one.example", "ulid.example"),
        families={"ulid.example": "gotosocial"},
        start_ms=START,
        traffic_profile=TrafficProfile(posts_per_s=3, latest_s=300),
    )
    with serving(sea, clock=FakeClock(NOW), rate_limit=None) as (one, ulid):
        yield one, ulid


def pages_up(server: SimulatedServer, token: str | None) -> list[str]:
    anchor, seen = "0", []
    while page := ids(get(server, TIMELINE, token, limit=40, min_id=anchor)):
        seen = page + seen
        anchor = page[0]
    return seen


@pytest.mark.parametrize(("which", "token"), [(0, None), (1, "t")])
def test_paging_up_or_down_visits_every_post_once(
    servers: Servers, which: int, token: str | None
) -> None:
    server = servers[which]
    truth = [post.id for post in server.world.timeline("news", NOW)]
    assert truth == sorted(truth, reverse=True)
    assert pages_up(server, token) == truth
    seen = ids(get(server, TIMELINE, token))
    assert len(seen) == 20
    while page := get(server, TIMELINE, token, limit=40, max_id=seen[-1]):
        if not ids(page):
            break
        seen += ids(page)
    assert seen == truth
    assert "Link" not in page.headers


@pytest.mark.parametrize(("which", "token"), [(0, None), (1, "t")])
def test_what_each_member_that_pages_means(servers: Servers, which: int, token: str | None) -> None:
    server = servers[which]
    truth = [post.id for post in server.world.timeline("news", NOW)]
    page = lambda **query: ids(get(server, TIMELINE, token, **query))  # noqa: E731
    assert page(limit=5, min_id=truth[50]) == truth[45:50]
    assert page(limit=5, since_id=truth[50]) == truth[:5]
    assert page(limit=5, max_id=truth[50]) == truth[51:56]
    assert page(limit=5, since_id=truth[53], max_id=truth[50]) == truth[51:53]
    assert page(limit=5, min_id=truth[53], max_id=truth[50]) == truth[51:53]
    assert page(limit=100) == truth[:40]
    deleted = [post for post in server.world.posts if not post.is_visible(NOW)]
    for post in deleted[:5]:
        later = [each for each in truth if each > post.id]
        assert page(limit=5, min_id=post.id) == later[-5:]


def test_ids_of_another_family_are_understood_as_the_real_servers_do(servers: Servers) -> None:
    one, ulid = servers
    newest = ids(get(ulid, TIMELINE, "t"))
    for foreign in ("123456", "notanid"):
        assert ids(get(ulid, TIMELINE, "t", min_id=foreign)) == []
    assert ids(get(ulid, TIMELINE, "t", since_id="109999999999999999")) == []
    assert ids(get(ulid, TIMELINE, "t", max_id="109999999999999999")) == newest
    oldest = ids(get(one, TIMELINE, min_id="0"))
    assert ids(get(one, TIMELINE, min_id=newest[0])) == oldest
    assert ids(get(one, TIMELINE, max_id="notanid")) == []


def test_any_adds_three_hashtags_at_most_and_only_on_mastodon(servers: Servers) -> None:
    one, ulid = servers
    more = ["python", "art", "Music", "climate", "books"]
    page = get(one, TIMELINE, limit=40, **{"any[]": more})
    tags = ["news", "python", "art", "music"]
    truth = {post.id for tag in tags for post in one.world.timeline(tag, NOW)}
    assert ids(page) == sorted(truth, reverse=True)[:40]
    for member in ("any[]", "all[]", "none[]"):
        query = {member: more}
        assert ids(get(ulid, TIMELINE, "t", **query)) == ids(get(ulid, TIMELINE, "t"))
    both = get(one, TIMELINE, limit=40, **{"all[]": ["python"], "none[]": ["art"]}).json()
    assert both
    for status in both:
        found = {tag["name"] for tag in status["tags"]}
        assert {"news", "python"} <= found
        assert "art" not in found
    at_home = get(one, TIMELINE, limit=40, local="true").json()
    assert all("@" not in status["account"]["acct"] for status in at_home)
    assert len(ids(get(one, TIMELINE, limit=40, remote="true"))) == 40


def test_hashtags_are_found_in_any_spelling(servers: Servers) -> None:
    one, _ = servers
    path = "/api/v1/timelines/tag/"
    expected = ids(get(one, path + quote("bücher")))
    assert expected
    for spelling in ("BÜCHER", "bucher", "Bu\u0308cher"):
        assert ids(get(one, path + quote(spelling))) == expected
    assert ids(get(one, path + quote("日本")))
    assert "%E6%97%A5" in get(one, path + quote("日本")).headers["Link"]


def test_the_public_timeline_holds_every_post(servers: Servers) -> None:
    for server in servers:
        page = ids(get(server, "/api/v1/timelines/public", limit=40))
        assert page == [post.id for post in server.world.timeline("", NOW)[:40]]


def test_posts_are_read_again_by_their_ids(servers: Servers) -> None:
    one, _ = servers
    wanted = ids(get(one, TIMELINE, limit=18))
    (gone, *_) = [post.id for post in one.world.posts if not post.is_visible(NOW)]
    found = get(one, "/api/v1/statuses", **{"id[]": [*wanted, gone, "123"]})
    assert ids(found) == wanted
    assert ids(get(one, "/api/v1/statuses", id=wanted[0])) == wanted[:1]
    many = ids(get(one, TIMELINE, limit=21))
    refused = get(one, "/api/v1/statuses", **{"id[]": many})
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("Validation failed")
    assert get(one, f"/api/v1/statuses/{wanted[0]}").json()["id"] == wanted[0]
    for missing in (gone, "123", "abc"):
        answer = get(one, f"/api/v1/statuses/{missing}")
        assert (answer.status_code, answer.json()) == (404, {"error": "Record not found"})


def test_what_gotosocial_does_in_another_way(servers: Servers) -> None:
    _, ulid = servers
    refused = get(ulid, "/api/v1/statuses", "t", **{"id[]": "1"})
    assert (refused.status_code, refused.text) == (405, "405 method not allowed")
    assert refused.headers["Content-Type"].startswith("text/plain")
    assert get(ulid, TIMELINE).status_code == 401
    assert get(ulid, TIMELINE).json() == {"error": "Unauthorized: token not supplied"}
    assert get(ulid, "/api/v1/timelines/tag/nobodyusesthis", "t").status_code == 404
    assert len(ids(get(ulid, TIMELINE, "t", limit=0))) == 1
    bare = requests.get(f"{ulid.url}{TIMELINE}", headers={"User-Agent": ""}, timeout=5)
    assert bare.status_code == 418
    plain = requests.get(f"{ulid.url}{TIMELINE}", headers={"Accept": "text/plain"}, timeout=5)
    assert plain.status_code == 406
    status = get(ulid, TIMELINE, "t").json()[0]
    assert not {"quotes_count", "filtered", "quote"} & status.keys()
    assert not {"noindex", "uri"} & status["account"].keys()
    assert get(ulid, f"/api/v1/statuses/{status['id']}", "t").json()["id"] == status["id"]


def test_what_a_server_says_of_itself(servers: Servers) -> None:
    one, ulid = (get(server, "/api/v2/instance").json() for server in servers)
    assert one["version"] == "4.5.1"
    assert one["configuration"]["timelines_access"]["hashtag_feeds"]["local"] == "public"
    assert one["configuration"]["urls"]["streaming"] == servers[0].url.replace("http", "ws")
    assert ulid["version"] == "3.5.3+0.20.0-rc1+git-57cb4fe"
    assert "api_versions" not in ulid
    assert (one["domain"], ulid["domain"]) == ("one.example", "ulid.example")
    assert get(servers[0], "/api/v1/instance").json()["version"] == "4.5.1"
    assert get(servers[0], "/api/v1/nothing").json() == {"error": "Not Found"}


def test_a_page_is_as_long_as_asked_for_and_has_the_server_s_date(servers: Servers) -> None:
    page = get(servers[0], TIMELINE, limit=40)
    assert len(page.json()) == 40
    assert page.headers["Date"] == "Sun, 15 Jun 2025 15:16:40 GMT"


@pytest.mark.parametrize("member", [None, "below", "just_above", "since"])
def test_a_page_costs_no_more_calls_where_the_timeline_is_ten_times_as_long(
    member: str | None,
) -> None:
    costs = []
    for seconds in (200, 2_000):
        world = World(start_ms=START, posts_per_s=3)
        now_ms = START + seconds * 1000
        world.advance(now_ms)
        posts = world.timeline("news", now_ms)
        middle = {member: posts[len(posts) // 2].number} if member else {}
        calls: Counter[str] = Counter()
        sys.setprofile(lambda _, event, __, calls=calls: calls.update([event]))
        try:
            page = world.page(["news"], Paging(limit=40, **middle), now_ms)
        finally:
            sys.setprofile(None)
        assert len(page) == 40
        costs.append(calls["call"] + calls["c_call"])
    short, long = costs
    assert long < 2 * short
