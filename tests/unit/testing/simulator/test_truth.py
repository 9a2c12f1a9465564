"""What should be held, and how what is held differs: each kind of error goes red, and only it."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.testing.simulator import (
    CheckResult,
    ExpectedPost,
    Fediverse,
    GroundTruth,
    HeldPost,
    RefreshSchedule,
    TrafficProfile,
    World,
    compare,
)
from mastostream.testing.simulator.posts import SimulatedPost

from .clients import START

HOSTS = ("one.example", "two.example", "ulid.example")
TAGS = ("News", "python")
HOUR_MS = 3_600_000
READING = RefreshSchedule(after_s=(300, 3_600), slack_s=60)
EDGE_MS = START + HOUR_MS
LIVELY = TrafficProfile(
    posts_per_s=0.1,
    late_share=0.2,
    latest_s=1_800,
    edit_share=0.2,
    delete_share=0.15,
    hasty_share=0.05,
    changes_within_s=4_000,
)


def make(seed: int = 1) -> Fediverse:
    return Fediverse(
        hosts=HOSTS,
        families={"ulid.example": "gotosocial"},
        seed=seed,
        start_ms=START,
        traffic_profile=LIVELY,
    )


def held_as(post: ExpectedPost, **changes: object) -> HeldPost:
    counts = post.counts
    held = HeldPost(
        key=post.key,
        content=post.content,
        favourites_count=counts.favourites,
        reblogs_count=counts.reblogs,
        replies_count=counts.replies,
        quotes_count=counts.quotes,
    )
    return attrs.evolve(held, **changes)


class Follower:
    """Reads everything, once a minute, and again when it is due: the plainest tool there is."""

    def __init__(self, worlds: list[World], key: str = "uri", **faults: bool) -> None:
        self.worlds = {world.host: world for world in worlds}
        self.key = key
        self.faults = faults
        self.first_ms: dict[str, int] = {}
        self.held: dict[str, HeldPost] = {}
        self.origin: dict[str, str] = {}
        self.gone: set[str] = set()
        self.copies: dict[tuple[str, str], SimulatedPost] = {}
        self.seen = dict.fromkeys(self.worlds, 0)

    def minute(self, now_ms: int) -> None:
        for world in self.worlds.values():
            world.advance(now_ms)
        for host, world in self.worlds.items():
            posts = world.posts  # of which none is forgotten here
            self.copies |= {(host, post.uri): post for post in posts[self.seen[host] :]}
            self.seen[host] = len(posts)
        for world in self.worlds.values():
            for tag in TAGS:
                timeline = world.timeline(tag, now_ms)
                for post in timeline[:3] if self.faults.get("reads_the_top_only") else timeline:
                    key = post.uri if self.key == "uri" else post.id
                    if key not in self.first_ms:
                        self.first_ms[key] = now_ms
                        self.origin[key] = post.uri
                        self.read(key, now_ms)
        for key, first_ms in self.first_ms.items():
            if key not in self.gone and (now_ms - first_ms) // 60_000 in (5, 60):
                self.read(key, now_ms)

    def read(self, key: str, now_ms: int) -> None:
        """Read a post on its own server, if that is followed."""
        uri = self.origin[key]
        home = uri.split("/")[2]
        if self.faults.get("asks_any_server") or home not in self.worlds:
            home = next(host for host in self.worlds if (host, uri) in self.copies)
        post = self.copies[home, uri]
        if not post.is_visible(now_ms):
            self.gone.add(key)
            if not self.faults.get("keeps_deleted"):
                self.held.pop(key, None)
            return
        if key in self.held and self.faults.get("never_reads_again"):
            return
        counts = post.counts_at(now_ms)
        self.held[key] = HeldPost(
            key=key,
            content=post.text_at(now_ms),
            favourites_count=counts.favourites,
            reblogs_count=counts.reblogs,
            replies_count=counts.replies,
            quotes_count=counts.quotes if post.quotes else None,
        )


def follow(sea: Fediverse, hosts: tuple[str, ...] = HOSTS, **faults: bool) -> Follower:
    key = "uri" if len(hosts) > 1 else "id"
    follower = Follower([sea.worlds[host] for host in hosts], key, **faults)
    for minute in range(1, 121):
        follower.minute(START + minute * 60_000)
    return follower


def check(sea: Fediverse, follower: Follower, hosts: tuple[str, ...] = HOSTS) -> CheckResult:
    truth = sea.truth(TAGS, START, START + 2 * HOUR_MS, hosts=hosts, reading=READING)
    return compare(truth, follower.held.values(), follower.first_ms)


@settings(max_examples=3)
@given(st.integers(0, 99), st.sampled_from([HOSTS, HOSTS[:2], HOSTS[1:], HOSTS[:1], HOSTS[2:]]))
def test_who_reads_everything_and_again_when_it_is_due_holds_the_truth(
    seed: int, hosts: tuple[str, ...]
) -> None:
    sea = make(seed)
    result = check(sea, follow(sea, hosts), hosts)
    assert result.ok, str(result)
    assert result.expected > 200


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("reads_the_top_only", {"lost"}),
        ("never_reads_again", {"wrong_text", "wrong_counts"}),
        ("keeps_deleted", {"undeleted"}),
        ("asks_any_server", {"wrong_counts"}),
    ],
)
def test_each_way_to_go_wrong_is_found(fault: str, kinds: set[str]) -> None:
    sea = make()
    result = check(sea, follow(sea, **{fault: True}))
    found = {
        name
        for name in CheckResult.__annotations__
        if isinstance(getattr(result, name), tuple) and getattr(result, name)
    }
    assert found == kinds, str(result)


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    sea = make()
    return sea.truth(TAGS, START + 600_000, EDGE_MS)


def test_the_last_version_holds(truth: GroundTruth) -> None:
    held = [held_as(post) for post in truth.posts.values()]
    result = compare(truth, held, list(truth.posts))
    assert result.ok
    assert (result.expected, result.held) == (len(held), len(held))
    assert compare(truth, [*held, *(attrs.evolve(held[0], key=k) for k in truth.optional)]).ok


def test_each_kind_of_error_is_found_by_itself(truth: GroundTruth) -> None:
    posts = list(truth.posts.values())
    held = [held_as(post) for post in posts]
    first = posts[0]
    gone = next(iter(truth.deleted))
    one_more = held_as(first, favourites_count=first.counts.favourites + 1)
    cases: dict[str, tuple[list[HeldPost], list[str], str]] = {
        "lost": (held[1:], [], first.key),
        "extra": ([*held, held_as(first, key="https://x.example/1")], [], "https://x.example/1"),
        "repeated": (held, [first.key, "other", first.key], first.key),
        "wrong_text": ([held_as(first, content="<p>old</p>"), *held[1:]], [], first.key),
        "wrong_counts": ([one_more, *held[1:]], [], first.key),
        "undeleted": ([*held, held_as(first, key=gone)], [], gone),
    }
    for kind, (posts_held, new_keys, key) in cases.items():
        result = compare(truth, posts_held, new_keys)
        assert not result.ok
        wrong = {name: getattr(result, name) for name in cases if getattr(result, name)}
        assert wrong == {kind: (key,)}
        assert key in str(result)
    assert compare(truth, [*held, held[0]]).repeated == (first.key,)


def test_the_result_is_told_as_a_table(truth: GroundTruth) -> None:
    result = compare(truth, [], ["a", "a"])
    told = str(result).splitlines()
    assert told[0].split() == ["expected", str(len(truth.posts))]
    assert any(line.startswith("lost") and str(len(truth.posts)) in line for line in told)
    assert any(line.split() == ["repeated", "1", "a"] for line in told)


def test_the_truth_is_about_what_came_in_that_time(truth: GroundTruth) -> None:
    sea = make()
    sea.advance(EDGE_MS)
    for post in truth.posts.values():
        copies = [p for world in sea.worlds.values() for p in world.posts if p.uri == post.uri]
        assert any(START + 600_000 < copy.arrived_ms <= EDGE_MS for copy in copies)
        assert {"news", "python"} & set(copies[0].tags)
        own = [copy for copy in copies if copy.share == 1]
        believed = (own or copies)[0]
        assert believed.is_visible(EDGE_MS)
        assert post.content == believed.text_at(EDGE_MS)
        assert post.counts == believed.counts_at(EDGE_MS)
    assert len(truth.deleted) > 5


def test_what_changes_after_the_end_may_be_known_already() -> None:
    sea = make()
    sea.advance(EDGE_MS + 600_000)
    truth = sea.truth(TAGS, START, EDGE_MS)
    later = sea.truth(TAGS, START, EDGE_MS + 600_000)
    both = truth.posts.keys() & later.posts.keys()
    held = [held_as(later.posts[key]) for key in both]
    assert compare(truth, held).wrong_text == compare(truth, held).wrong_counts == ()
    assert any(truth.posts[key].content != later.posts[key].content for key in both)
    assert later.deleted - truth.deleted <= truth.optional
    assert later.deleted - truth.deleted


def test_a_host_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        make().truth(TAGS, START, EDGE_MS, hosts=("nowhere.example",))
