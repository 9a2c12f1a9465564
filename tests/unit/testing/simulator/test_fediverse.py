"""Several simulated servers: how posts get from one to the others, and where they stand."""

import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import Fediverse, SimulatedServer, TrafficProfile, World, serving

from .clients import DAY_MS, START, get, ids

HOSTS = ("one.example", "two.example", "ulid.example")
FAMILIES = {"ulid.example": "gotosocial"}


def fediverse(seed: int = 1, **traffic_profile: object) -> Fediverse:
    return Fediverse(
        hosts=HOSTS,
        families=FAMILIES,  # type: ignore[arg-type]  # its values are families
        seed=seed,
        start_ms=START,
        traffic_profile=attrs.evolve(TrafficProfile(), **traffic_profile),
    )


@settings(max_examples=10)
@given(st.integers(0, 99), st.lists(st.integers(0, 90_000), max_size=5))
def test_the_same_seed_gives_the_same_however_time_is_cut(seed: int, steps: list[int]) -> None:
    whole, cut = (fediverse(seed, posts_per_s=1, late_share=0.2, latest_s=60) for _ in range(2))
    now_ms = START
    for number, step in enumerate(steps):
        now_ms += step
        cut.worlds[HOSTS[number % 3]].advance(now_ms)
        cut.worlds[HOSTS[number % 3]].next_ms(now_ms)
    cut.advance(now_ms)
    whole.advance(now_ms)
    for host in HOSTS:
        assert whole.worlds[host].posts == cut.worlds[host].posts


def test_another_seed_gives_other_posts() -> None:
    first, second = fediverse(1), fediverse(2)
    for each in (first, second):
        each.advance(START + 60_000)
    uris = [{post.uri for post in each.worlds["one.example"].posts} for each in (first, second)]
    assert not uris[0] & uris[1]


def test_a_post_has_one_uri_everywhere_and_another_id_on_each_server() -> None:
    sea = fediverse(posts_per_s=5)
    sea.advance(START + 120_000)
    found: dict[str, dict[str, str]] = {}
    for host, world in sea.worlds.items():
        for post in world.posts:
            found.setdefault(post.uri, {})[host] = post.id
    everywhere = [by_host for by_host in found.values() if len(by_host) == 3]
    assert len(everywhere) > 200
    assert all(len(set(by_host.values())) == 3 for by_host in everywhere)
    assert all(len(by_host["ulid.example"]) == 26 for by_host in everywhere)
    for uri, by_host in found.items():
        origin, post_id = uri.split("/")[2], uri.split("/")[-1]
        assert by_host.get(origin, post_id) == post_id


def test_the_counts_of_another_server_are_a_third() -> None:
    sea = fediverse(posts_per_s=5)
    now_ms = START + DAY_MS // 24
    sea.advance(START + 90_000)
    checked = 0
    at_home = {
        post.uri: post for world in sea.worlds.values() for post in world.posts if post.at_home
    }
    for post in sea.worlds["two.example"].posts:
        origin = at_home.get(post.uri)
        if origin is not None and origin.id != post.id and origin.quotes:
            counts = attrs.astuple(origin.counts_at(now_ms))
            assert attrs.astuple(post.counts_at(now_ms)) == tuple(n // 3 for n in counts)
            checked += any(counts)
    assert checked > 20


def test_a_post_that_comes_late_stands_below_newer_ones_from_when_it_comes() -> None:
    sea = fediverse(posts_per_s=2, late_share=0.1, latest_s=600)
    world = sea.worlds["two.example"]
    sea.advance(START + 900_000)
    late = [post for post in world.posts if post.arrived_ms - post.created_ms > 100_000]
    assert len(late) > 10
    for post in late:
        tag = post.tags[0]
        before = world.timeline(tag, post.arrived_ms - 1)
        after = world.timeline(tag, post.arrived_ms)
        assert post not in before
        place = after.index(post)
        assert place > 0 or len(after) == 1
        assert [each.created_ms for each in after[:place]] > [post.created_ms] * place
        assert int(after[0].id) >= int(post.id)


def test_most_posts_take_seconds_and_a_share_takes_hours() -> None:
    sea = fediverse(posts_per_s=0.7, late_share=0.05, latest_s=7_200)
    sea.advance(START + 3 * 3_600_000)
    posts = [p for p in sea.worlds["one.example"].posts if p.created_ms < START + 3_600_000]
    away = [p for p in posts if not p.at_home]
    delays = [post.arrived_ms - post.created_ms for post in away]
    assert all(100 <= delay <= 7_200_000 for delay in delays)
    assert 0.03 < sum(delay > 3_000 for delay in delays) / len(delays) < 0.07
    assert max(delays) > 3_600_000


def test_changes_come_within_ten_hours_and_a_little_later_elsewhere() -> None:
    sea = fediverse(posts_per_s=0.5, edit_share=0.2, delete_share=0.1)
    sea.advance(START + 4 * 3_600_000)
    several = 0
    for world in sea.worlds.values():
        for post in world.posts:
            written = post.written
            several += len(written.edits) > 1
            changes = [*written.edits, *([written.deleted_ms] if written.deleted_ms else [])]
            assert all(0 < change - post.created_ms <= 36_000_000 for change in changes)
            assert list(written.edits) == sorted(set(written.edits))
            heard = [*zip(post.edits, written.edits, strict=False)]
            if post.deleted_ms and written.deleted_ms:
                heard.append((post.deleted_ms, written.deleted_ms))
            if post.at_home:
                assert all(here == there for here, there in heard)
            else:
                late = [here - there for here, there in heard if there > post.arrived_ms]
                assert all(0 < delay <= 6_000 for delay in late)
    assert several > 50


def test_what_is_deleted_before_it_comes_never_comes() -> None:
    sea = fediverse(posts_per_s=5, hasty_share=0.2, late_share=0.5, latest_s=600)
    sea.advance(START + 600_000)
    gone = [
        post
        for world in sea.worlds.values()
        for post in world.posts
        if post.written.deleted_ms is not None and post.written.deleted_ms <= post.arrived_ms
    ]
    assert not gone


def test_nights_are_quieter_and_the_average_is_the_rate() -> None:
    quiet = Fediverse(
        hosts=HOSTS[:1],
        start_ms=START,
        traffic_profile=TrafficProfile(posts_per_s=0.04, day_night=0.9),
    )
    quiet.advance(START + 4 * DAY_MS)
    posts = quiet.worlds["one.example"].posts
    hours = [post.created_ms // 3_600_000 % 24 for post in posts]
    night, day = (sum(hour in some for hour in hours) for some in ((1, 2, 3, 4), (13, 14, 15, 16)))
    assert day > 5 * night
    assert 0.8 < len(posts) / (0.04 * 4 * 86_400) < 1.2


def test_a_week_is_served_page_by_page() -> None:
    sea = Fediverse(
        hosts=HOSTS,
        start_ms=START,
        traffic_profile=TrafficProfile(posts_per_s=0.02, late_share=0.05),
    )
    clock = FakeClock(START + 7 * DAY_MS)
    with serving(sea, clock=clock, rate_limit=None) as servers:
        for server in servers:
            newest = ids(get(server, "/api/v1/timelines/tag/news", limit=40))
            assert len(newest) == 40
            anchor, seen = "0", 0
            for _ in range(5):
                page = ids(get(server, "/api/v1/timelines/tag/news", limit=40, min_id=anchor))
                seen += len(page)
                anchor = page[0]
            assert seen == 200
    assert len(sea.worlds["one.example"].posts) > 10_000


def test_old_posts_are_forgotten_and_it_is_said() -> None:
    small = Fediverse(
        hosts=HOSTS, start_ms=START, traffic_profile=TrafficProfile(posts_per_s=5), keep=100
    )
    small.advance(START + 300_000)
    world = small.worlds["one.example"]
    assert 100 <= len(world.posts) <= 113
    assert len(world.timeline("", START + 300_000)) <= 113
    assert world.find(world.posts[0].id, START + 300_000) is not None
    with pytest.raises(ValueError, match="larger keep"):
        small.truth(["news"], START, START + 300_000)


def test_a_boost_is_a_wrapper_without_tags_and_counts_of_its_own() -> None:
    sea = fediverse(posts_per_s=2, boost_share=0.4)
    clock = FakeClock(START + 1_200_000)
    with serving(sea, clock=clock) as (one, _, ulid):
        page = get(one, "/api/v1/timelines/tag/news", limit=40).json()
        boosts = [status for status in page if status["reblog"]]
        assert boosts
        for boost in boosts:
            assert boost["tags"] == []
            assert boost["content"] == ""
            assert boost["favourites_count"] == boost["reblogs_count"] == 0
            assert "news" in [tag["name"] for tag in boost["reblog"]["tags"]]
            assert boost["id"] != boost["reblog"]["id"]
            assert get(one, f"/api/v1/statuses/{boost['id']}").json()["reblog"]
        told = get(ulid, "/api/v1/timelines/tag/news", token="t", limit=40).json()
        assert not [status for status in told if status["reblog"]]


def test_one_server_by_itself_knows_everything_at_once() -> None:
    with SimulatedServer(now_ms=lambda: START, posts_per_s=5) as server:
        posts = server.world.posts
    assert all(post.arrived_ms == post.created_ms for post in posts)
    world = World(start_ms=START - 60_000, posts_per_s=5)
    world.advance(START)
    assert world.posts == posts


@pytest.mark.parametrize("growth_s", [60.0, 900.0])
def test_engagement_grows_by_the_known_law(growth_s: float) -> None:
    world = World(start_ms=START, posts_per_s=5, growth_s=growth_s)
    world.advance(START + 60_000)
    for post in world.posts:
        for age_s in (0, 1, 30, 700, 86_400):
            share = 1 - math.exp(-age_s / growth_s)
            counts = attrs.astuple(post.counts_at(post.created_ms + age_s * 1000))
            assert counts == tuple(math.floor(n * share) for n in attrs.astuple(post.written.final))
