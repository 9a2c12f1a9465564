"""The collector and the Mastodon source, against a simulated server."""

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import mastodon
import msgspec
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream import Post, Stamp, decode
from mastostream.collector import Collector, CollectorMemory, stamp_raw
from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.ports.source import Fetched, Sighting
from mastostream.sources.mastodon import HashtagSource, MastodonClient
from mastostream.sources.mastodon.errors import reset_after_s, translate
from mastostream.testing.simulator import Fault, SimulatedServer

NOW = datetime(2024, 1, 1, tzinfo=UTC)
STAMP = Stamp(key="k", instance="i", observed_at=NOW)
OBJECTS = st.dictionaries(
    st.text(max_size=5) | st.just("mastostream"), st.integers() | st.text(max_size=5), max_size=5
)


class Clock(SystemClock):
    """A clock that never waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.now_s += max(0.0, seconds)
        return stop.is_set()


@given(OBJECTS, st.sampled_from(["", " ", "\n"]))
def test_a_stamp_keeps_every_member_and_is_the_only_one(
    members: dict[str, object], end: str
) -> None:
    stamped = json.loads(stamp_raw((json.dumps(members) + end).encode(), STAMP))
    assert stamped.pop("mastostream")["key"] == "k"
    members.pop("mastostream", None)
    assert stamped == members


def test_a_stamp_leaves_the_servers_bytes_as_they_are() -> None:
    raw = b'{ "id" : "1", "n":1.50, "u":"\\u00e9\xe2\x80\xa8" }'
    assert stamp_raw(raw, STAMP).startswith(raw[:-2] + b',"mastostream":{')


class ScriptedSource:
    """Shows pages of keys, one after the other."""

    name = "scripted"

    def __init__(self, pages: Sequence[Sequence[int]]) -> None:
        self.pages = list(pages)

    def fetch(self, cursor: str | None) -> Fetched:
        page = self.pages.pop(0) if self.pages else ()
        sightings = [
            Sighting(
                raw=b'{"id":"%d"}' % key, key=str(key), event="new", instance="i", observed_at=NOW
            )
            for key in page
        ]
        return Fetched(sightings=sightings, cursor=str(page[-1]) if page else cursor)

    def close(self) -> None:
        pass


class CrashError(Exception):
    """The process ends here."""


class CrashingWriter(SqliteLogWriter):
    crash: str | None = None

    def append(self, records: Sequence[NewRecord]) -> None:
        if self.crash == "before":
            raise CrashError
        super().append(records)
        if self.crash == "after":
            raise CrashError


def make(folder: Path, source: object, crash: str | None = None) -> Collector:
    writer = CrashingWriter(folder / "log.sqlite3")
    writer.crash = crash
    return Collector(
        [source],  # type: ignore[list-item]  # a Source by its methods
        writer,
        SqliteLogReader(folder / "log.sqlite3", topic="Mastodon_stream", group="collect"),
        CollectorMemory(folder / "memory.sqlite3"),
        clock=Clock(),
    )


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), max_size=6), st.sampled_from([None, "before", "after"])
        ),
        max_size=8,
    )
)
def test_each_post_is_logged_once_whatever_crashes(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[tuple[list[int], str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("collector")
    expected = []
    for page, crash in rounds:
        collector = make(folder, ScriptedSource([page]), crash)
        new = [key for key in dict.fromkeys(page) if key not in expected]
        try:
            collector.step(0.0)
            expected += new
        except CrashError:
            expected += new if crash == "after" else []
        collector.close()
    reader = SqliteLogReader(folder / "log.sqlite3", topic="Mastodon_stream", group="test")
    assert [record.key for record in reader.read(1000, 0.0)] == [str(key) for key in expected]
    reader.close()


def follow(folder: Path, server: SimulatedServer, *tags: str) -> Collector:
    clock = Clock()
    sources = [HashtagSource(MastodonClient(server.url), tag, clock=SystemClock()) for tag in tags]
    return Collector(
        sources,
        SqliteLogWriter(folder / "log.sqlite3"),
        SqliteLogReader(folder / "log.sqlite3", topic="Mastodon_stream", group="collect"),
        CollectorMemory(folder / "memory.sqlite3"),
        clock=clock,
    )


def logged(folder: Path) -> list[str | None]:
    reader = SqliteLogReader(folder / "log.sqlite3", topic="Mastodon_stream", group="test")
    found = [record.key for record in reader.read(100_000, 0.0)]
    reader.close()
    return found


def test_faults_and_gaps_of_more_than_a_page_lose_nothing(tmp_path: Path) -> None:
    tags = ("news", "python", "art")
    now = [1_750_000_000_000]
    with SimulatedServer(now_ms=lambda: now[0], posts_per_s=10, rate_limit=None) as server:
        collector = follow(tmp_path, server, *tags)
        for _ in tags:
            collector.step(100.0)
        first = {tag: server.world.timeline(tag, now[0])[:40][-1].created_ms for tag in tags}
        for fault in (
            Fault(status=429, headers={"Retry-After": "1"}),
            Fault(status=429),
            Fault(status=503),
            Fault(cut=True),
            Fault(empty=True),
        ):
            now[0] += 30_000
            server.faults.add(fault)
            for _ in range(400):
                collector.step(100.0)
                errors = [source.error for source in collector.stats.sources]
                if not server.faults.left() and not any(errors):
                    break
        for _ in range(3 * len(tags)):
            collector.step(100.0)
        truth = {
            post.id
            for tag in tags
            for post in server.world.timeline(tag, now[0])
            if post.created_ms > first[tag]
        }
        assert sum(source.retries for source in collector.stats.sources) == 4
        collector.close()
        world = server.world
    found = logged(tmp_path)
    assert len(found) == len(set(found))
    assert truth <= set(found)
    deleted = {post.id for post in world.posts if post.deleted_ms is not None}
    older = {post.id for post in world.posts if post.created_ms <= max(first.values())}
    assert set(found) - truth <= deleted | older
    assert len(truth) > 200


class Timeline:
    """A server's hashtag timeline, newest first, and how it understands paging."""

    host = "social.example"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.posts: list[str] = []
        self.deleted: set[str] = set()

    def hashtag_page(
        self, tag: str, *, min_id: str | None = None, max_id: str | None = None
    ) -> Sequence[bytes]:
        posts = [post for post in self.posts if post not in self.deleted]
        if max_id is not None:
            below = self.posts.index(max_id) + 1
            posts = [post for post in self.posts[below:] if post not in self.deleted]
        if min_id is not None and self.kind != "ignores min_id":
            if self.kind == "forgets deleted ids" and min_id in self.deleted:
                return []
            above = self.posts.index(min_id)
            posts = [post for post in self.posts[:above] if post not in self.deleted][-40:]
        return [json.dumps({"id": post}).encode() for post in posts[:40]]

    def close(self) -> None:
        pass


@given(
    st.sampled_from(["usual", "forgets deleted ids", "ignores min_id"]),
    st.lists(st.tuples(st.integers(0, 500), st.lists(st.integers(0, 60), max_size=50)), max_size=8),
)
def test_a_timeline_is_read_without_a_gap_however_the_server_pages(
    kind: str, rounds: list[tuple[int, list[int]]]
) -> None:
    server = Timeline(kind)
    source = HashtagSource(server, "news", clock=SystemClock())  # type: ignore[arg-type]  # all it calls
    server.posts = [f"id{number}" for number in reversed(range(60))]
    fetched = source.fetch(None)
    seen = {sighting.key for sighting in fetched.sightings}
    expected = set(server.posts[:40])
    for new, gone in rounds:
        first = len(server.posts)
        server.posts[:0] = [f"id{number}" for number in reversed(range(first, first + new))]
        server.deleted |= {server.posts[number] for number in gone}
        expected |= set(server.posts[:new]) - server.deleted
        more = True
        while more:
            fetched = source.fetch(fetched.cursor)
            more = fetched.more
            assert fetched.complete
            keys = [sighting.key for sighting in fetched.sightings]
            numbers = [int(key.removeprefix("id")) for key in dict.fromkeys(keys)]
            assert numbers == sorted(numbers)
            seen |= set(keys)
    assert expected <= seen


@settings(max_examples=25)
@given(st.integers(0, 1_000))
def test_what_a_killed_round_must_read_again_is_bounded(new: int) -> None:
    server = Timeline("usual")
    source = HashtagSource(server, "news", clock=SystemClock())  # type: ignore[arg-type]  # all it calls
    server.posts = [f"id{number}" for number in reversed(range(new + 1))]
    fetched = Fetched(sightings=(), cursor="id0", more=True)
    while fetched.more:
        fetched = source.fetch(fetched.cursor)
        assert len(fetched.sightings) <= 250


def test_a_server_that_cannot_be_paged_loses_posts_and_it_is_counted(tmp_path: Path) -> None:
    class Unpaged(Timeline):
        def hashtag_page(self, tag: str, **_: str | None) -> Sequence[bytes]:
            return super().hashtag_page(tag)

    server = Unpaged("usual")
    source = HashtagSource(server, "news", clock=SystemClock())  # type: ignore[arg-type]  # all it calls
    server.posts = [f"id{number}" for number in reversed(range(200))]
    collector = make(tmp_path, source)
    collector.step(0.0)
    server.posts[:0] = [f"new{number}" for number in range(200)]
    assert collector.step(100.0) == 40
    (stats,) = collector.stats.sources
    assert stats.incomplete == 1
    collector.close()


def test_statuses_are_kept_as_the_server_sent_them(tmp_path: Path) -> None:
    with SimulatedServer(now_ms=lambda: 1_750_000_000_000, posts_per_s=5) as server:
        collector = follow(tmp_path, server, "news")
        collector.step(0.0)
        collector.close()
        sent = requests.get(f"{server.url}/api/v1/timelines/tag/news?limit=40", timeout=5)
    expected = {bytes(raw) for raw in msgspec.json.decode(sent.content, type=list[msgspec.Raw])}
    reader = SqliteLogReader(tmp_path / "log.sqlite3", topic="Mastodon_stream", group="test")
    values = [record.value for record in reader.read(100, 0.0)]
    reader.close()
    assert {value[: value.rindex(b',"mastostream":')] + b"}" for value in values} == expected
    assert all(isinstance(decode(value), Post) for value in values)


def test_a_source_that_is_refused_ends_and_says_what_to_do(tmp_path: Path) -> None:
    with SimulatedServer(token="right") as server:
        collector = follow(tmp_path, server, "news")
        collector.step(0.0)
        with pytest.raises(FatalError, match="ACCESS_TOKEN"):
            collector.step(0.0)
        collector.close()


def test_a_servers_facts(tmp_path: Path) -> None:
    with SimulatedServer() as server:
        client = MastodonClient(server.url, token="any")
        facts = client.facts()
        client.close()
    assert (facts.version, facts.hashtags_open, facts.token_valid) == ("4.5.1", True, True)


def every_subclass(kind: type) -> list[type]:
    return [kind, *(each for child in kind.__subclasses__() for each in every_subclass(child))]


@pytest.mark.parametrize(
    "kind", [*every_subclass(mastodon.MastodonError), *every_subclass(requests.RequestException)]
)
def test_every_vendor_error_is_translated(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    translated = translate(error, "host.example", None)
    assert isinstance(translated, MastostreamError)
    assert "host.example" in str(translated)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"X-RateLimit-Reset": "2024-01-01T00:01:30.000Z"}, 90),
        ({"X-RateLimit-Reset": "1704067205", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, 5),
        ({"X-RateLimit-Reset": "2031-01-01T00:00:00Z"}, 900),
        ({"X-RateLimit-Reset": "soon"}, 60),
        ({}, 60),
    ],
)
def test_how_long_a_429_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert reset_after_s(headers, NOW) == seconds


def test_a_token_is_never_shown() -> None:
    client = MastodonClient("http://127.0.0.1:1", token="s3cret")
    with pytest.raises(RetriableError) as caught:
        client.hashtag_page("news")
    client.close()
    assert "s3cret" not in f"{caught.value}{caught.value!r}{client!r}"
