"""The collector as a whole, with fake servers and streams."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.collector import PollSchedule
from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.clock import ScaledClock
from mastostream.ports.stream import Put
from mastostream.testing.fakes import FakeServer, FakeStreams, Killed

from .collecting import NOW, Place, collect, disk, events, fast_clock, logged, until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Streamed:
    """A server with streams, and a collector for it."""

    def __init__(self, place: Place, *working: str, mode: str = "auto", **options: object) -> None:
        self.clock = fast_clock()
        self.server = FakeServer(self.clock)
        self.streams: FakeStreams
        self.working = working
        self.collector = collect(
            place,
            self.server,
            mode=mode,
            make_streams=self._make,
            **options,  # type: ignore[arg-type]  # by name
        )

    def _make(self, put: Put) -> FakeStreams:
        self.streams = FakeStreams(put, self.clock, self.working)
        return self.streams

    def until(self, holds: object) -> None:
        until(self.collector, holds)  # type: ignore[arg-type]  # a condition


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([None, "before", "after"])), max_size=6)
)
def test_each_post_is_logged_once_whatever_crashes(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[tuple[int, str | None]]
) -> None:
    place = Place(tmp_path_factory.mktemp("collector"))
    server = FakeServer(fast_clock())
    server.write("p0")
    collector = collect(place, server)
    until(collector, lambda: collector.stats.appended == 1)
    collector.close()
    for new, crash in rounds:
        for _ in range(new):
            server.write(f"p{len(server.ids)}")
        collector = collect(place, server, crash=crash)
        before = server.count("timeline")
        with suppress(Killed):
            until(collector, lambda: server.count("timeline") > before + 1)  # noqa: B023
        collector.close()
    collector = collect(place, server)
    until(collector, lambda: len(events(place)) >= len(server.ids))
    collector.close()
    expected = [("new", post_id) for post_id in reversed(server.ids)]
    assert events(place) == expected


def test_two_servers_show_one_post_and_it_is_one(place: Place) -> None:
    clock = fast_clock()
    here, there = FakeServer(clock), FakeServer(clock, host="t.example")
    here.write("1", uri="https://a/1")
    there.write("9", uri="https://a/1")
    there.write("8", uri="https://a/2")
    collector = collect(place, here, there, key_by="uri")
    until(collector, lambda: len(events(place)) == 2 and collector.stats.dedup.known > 2)
    collector.close()
    assert sorted(events(place)) == [("new", "https://a/1"), ("new", "https://a/2")]


def test_a_post_that_all_servers_show_at_once_is_asked_for_at_home(place: Place) -> None:
    """This holds whatever the order of their responses."""
    clock = fast_clock(2_000.0)
    home, there = FakeServer(clock), FakeServer(clock, host="t.example")
    there.write("9", uri="https://s.example/1", account={"acct": "somebody@s.example"})
    home.write("1", uri="https://s.example/1")
    collector = collect(place, there, home, key_by="uri", refresh_after_s=(300.0, 900.0))
    until(collector, lambda: collector.stats.dedup.refreshes == 2)
    collector.close()
    assert (home.count("statuses"), there.count("statuses")) == (2, 0)


def test_a_source_that_is_refused_ends_and_the_others_go_on(place: Place) -> None:
    server = FakeServer(fast_clock())
    server.refused_tags["art"] = FatalError("404: check the hashtag")
    server.write("1")
    collector = collect(place, server, tags=("art", "news"))
    until(collector, lambda: server.count("timeline") > 4)
    assert [source.failed for source in collector.stats.sources] == [True, False]
    server.refused_tags["news"] = FatalError("401: put ACCESS_TOKEN into .env")
    with pytest.raises(FatalError, match=r"check the hashtag.*ACCESS_TOKEN"):
        until(collector, lambda: False)
    collector.close()


def test_trouble_is_waited_out_and_told(place: Place) -> None:
    server = FakeServer(fast_clock())
    server.failures.add(
        None,
        RetriableError("503"),
        RetriableError("429", retry_after_s=30.0),
        RetriableError("the connection broke"),
    )
    server.write("1")
    collector = collect(place, server)
    until(collector, lambda: collector.stats.appended == 1)
    assert not server.failures.waiting
    assert collector.stats.sources[0].error is None
    collector.close()


def test_a_server_that_asks_to_wait_is_left_alone(place: Place) -> None:
    clock = fast_clock()
    server = FakeServer(clock)
    collector = collect(place, server, tags=("news", "art"))
    until(collector, lambda: server.count("timeline") > 3)
    since_s = clock.monotonic_s()
    server.failures.add(None, RetriableError("429", retry_after_s=100.0))
    until(collector, lambda: not server.failures.waiting)
    calls = len(server.calls)
    until(collector, lambda: len(server.calls) > calls)
    assert clock.monotonic_s() - since_s > 90
    collector.close()


def test_four_hashtags_share_a_request_where_the_server_can(tmp_path: Path) -> None:
    tags = [f"tag{number}" for number in range(10)]
    for family, size in (("mastodon", 4), ("gotosocial", 1)):
        server = FakeServer(fast_clock(), family=family)
        for number, tag in enumerate(tags):
            server.write(f"{family}{number}", tag)
        place = Place(tmp_path / family)
        collector = collect(place, server, tags=tags)
        until(collector, lambda: collector.stats.appended == len(tags))  # noqa: B023
        groups = {arguments[0] for name, arguments in server.calls if name == "timeline"}
        assert max(map(len, groups)) == size
        collector.close()


def test_a_hundred_hashtags_work_slower_and_it_says_how_slow(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    server = FakeServer(fast_clock(2_000.0), family="other")
    tags = [f"tag{number}" for number in range(100)]
    for number, tag in enumerate(tags):
        server.write(str(number), tag)
    with caplog.at_level(logging.WARNING):
        schedule = PollSchedule(overlap_horizon_s=0.0)
        collector = collect(place, server, tags=tags, schedule=schedule)
        until(collector, lambda: len(server.calls) > 450)
    collector.close()
    assert "each is looked at every 111 s" in caplog.text
    polls = [sum(1 for call in server.calls if call[1] and tag in call[1][0]) for tag in tags]
    assert max(polls) - min(polls) <= 1, "none is looked at more often than another"


def test_a_feed_that_was_closed_is_told(place: Place) -> None:
    server = FakeServer(fast_clock())
    server.write("1")
    collector = collect(place, server)
    until(collector, lambda: collector.stats.appended == 1)
    server.delete("1")
    server.hashtags_open = False
    until(collector, lambda: "closed" in str(collector.stats.sources[0].error))
    server.hashtags_open = True
    server.write("2")
    until(collector, lambda: collector.stats.appended == 2)
    collector.close()


def test_a_server_that_cannot_say_whether_it_closed_its_feed_is_followed_on(
    place: Place,
) -> None:
    server = FakeServer(fast_clock())
    server.write("1")
    collector = collect(place, server)
    until(collector, lambda: collector.stats.appended == 1)
    server.delete("1")
    server.failures.add("about", RetriableError("503"), RetriableError("503"))
    until(collector, lambda: not server.failures.waiting)
    server.write("2")
    until(collector, lambda: collector.stats.appended == 2)
    collector.close()


def test_after_days_of_absence_what_a_quiet_hashtag_still_shows_is_known(place: Place) -> None:
    server = FakeServer(fast_clock())
    for number in range(30):
        server.write(str(number))
    collector = collect(place, server)
    until(collector, lambda: collector.stats.appended == 30)
    collector.close()
    server.clock = ScaledClock(server.clock.real_ms, NOW + 12 * 86_400_000, 200.0)
    collector = collect(place, server)
    server.write("new")
    until(collector, lambda: server.count("timeline") > 20)
    collector.close()
    assert len(events(place)) == 31


def test_a_post_that_one_server_never_edits_is_not_asked_for_for_ever(place: Place) -> None:
    clock = fast_clock(2_000.0)
    here, there = FakeServer(clock), FakeServer(clock, host="t.example")
    author = {"acct": "somebody@home.example"}
    here.write("1", uri="https://a/1", account=author)
    collector = collect(place, here, there, key_by="uri", refresh_after_s=(300.0,))
    until(collector, lambda: collector.stats.appended == 1)
    there.write("9", uri="https://a/1", account=author, edited_at="2031-01-01T00:00:00Z")
    until(collector, lambda: collector.stats.dedup.edits == 1)
    since_s = clock.monotonic_s()
    until(collector, lambda: clock.monotonic_s() > since_s + 5_000)
    assert here.count("statuses") <= 2
    collector.close()


def test_a_page_is_read_again_for_posts_that_come_late(place: Place) -> None:
    server = FakeServer(fast_clock())
    for number in range(100):
        server.write(str(number))
    schedule = PollSchedule(interval_s=3.0, overlap_s=60.0)
    collector = collect(place, server, schedule=schedule)
    until(collector, lambda: collector.stats.appended == 40)
    late = server.write("late", below=60)  # it federated late, so its id is an old one
    until(collector, lambda: "late" in {key for _, key in events(place)})
    assert late
    collector.close()


def test_counts_are_read_again_and_what_is_missing_is_deleted(place: Place) -> None:
    server = FakeServer(fast_clock(2_000.0))
    for number in range(30):
        server.write(str(number))
    collector = collect(place, server, refresh_after_s=(300.0, 3600.0))
    until(collector, lambda: collector.stats.appended == 30)
    server.delete("3")
    for post_id in server.ids:
        server.change(post_id, favourites_count=5)
    until(collector, lambda: collector.stats.dedup.refreshes >= 29)
    server.delete("4")
    until(collector, lambda: collector.stats.dedup.refreshes >= 29 + 28)
    sizes = [len(arguments) for name, arguments in server.calls if name == "statuses"]
    assert max(sizes) == 20
    collector.close()
    logged_events = events(place)
    assert [key for event, key in logged_events if event == "delete"] == ["3", "4"]
    refreshes = [post for post in logged(place) if post["mastostream"]["event"] == "refresh"]
    assert {post["favourites_count"] for post in refreshes} == {5}


def test_reading_counts_again_does_not_use_up_the_limit_on_paging(place: Place) -> None:
    server = FakeServer(fast_clock(300.0))
    server.write("1")
    schedule = PollSchedule(overlap_horizon_s=0.0, paging_requests_per_15_min=3)
    collector = collect(place, server, schedule=schedule, refresh_after_s=range(60, 660, 60))
    begin_s = server.clock.monotonic_s()
    until(collector, lambda: collector.stats.dedup.refreshes == 10)
    assert server.clock.monotonic_s() - begin_s < 3 * 900
    collector.close()


def test_a_server_without_batches_is_read_one_by_one(place: Place) -> None:
    server = FakeServer(fast_clock(2_000.0), batch_limit=1)
    for number in range(5):
        server.write(str(number))
    collector = collect(place, server, refresh_after_s=(300.0,))
    until(collector, lambda: collector.stats.dedup.refreshes == 5)
    collector.close()


def test_an_answer_without_any_status_deletes_nothing_by_itself(place: Place) -> None:
    class Forgetful(FakeServer):
        def statuses(self, ids: Sequence[str]) -> Sequence[bytes] | None:
            return [] if len(ids) > 1 else super().statuses(ids)

    server = Forgetful(fast_clock(2_000.0))
    for number in range(5):
        server.write(str(number))
    collector = collect(place, server, refresh_after_s=(300.0,))
    server.delete("0")
    until(collector, lambda: collector.stats.dedup.refreshes == 4)
    collector.close()
    assert not [key for event, key in events(place) if event == "delete"]


def test_a_stream_is_opened_then_the_gap_is_filled_then_it_is_drained(place: Place) -> None:
    setup = Streamed(place, "websocket")
    for number in range(3):
        setup.server.write(f"old{number}")
    server = setup.server
    setup.until(lambda: bool(setup.streams.feeds))
    setup.streams.send("update", server.write("live"))
    setup.until(lambda: len(events(place)) == 4)
    setup.streams.send("update", server.write("later"))
    setup.streams.send("status.update", server.write("live", edited_at="2030-01-01T00:00:00Z"))
    setup.streams.send("delete", b"later")
    setup.until(lambda: len(events(place)) == 7)
    setup.collector.close()
    assert [key for event, key in events(place)][:4] == ["old0", "old1", "old2", "live"]
    assert events(place)[4:] == [("new", "later"), ("edit", "live"), ("delete", "later")]


def test_while_a_stream_works_the_server_is_hardly_asked(place: Place) -> None:
    setup = Streamed(place, "websocket")
    setup.until(lambda: bool(setup.streams.feeds))
    setup.streams.send("update", setup.server.write("1"))
    setup.until(lambda: len(events(place)) == 1)
    setup.until(partial(_passed, setup, setup.clock.monotonic_s() + 10))
    requests, since_s = setup.server.count("timeline"), setup.clock.monotonic_s()
    setup.until(lambda: setup.clock.monotonic_s() > since_s + 500)
    assert setup.server.count("timeline") - requests <= 3
    assert setup.collector.stats.sources[0].by_stream
    setup.collector.close()


def _passed(setup: Streamed, moment_s: float) -> bool:
    return setup.clock.monotonic_s() > moment_s


def test_a_stream_that_is_silent_for_longer_than_usual_is_checked(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Streamed(place, "websocket", schedule=PollSchedule(check_s=1e9, overlap_s=1e9))
    setup.until(lambda: bool(setup.streams.feeds))
    with caplog.at_level(logging.INFO):
        for number in range(3):
            setup.streams.send("update", setup.server.write(str(number)))
            setup.until(partial(_passed, setup, setup.clock.monotonic_s() + 5))
        polls = -1
        while polls != setup.server.count("timeline"):  # until the gap before the stream is filled
            polls = setup.server.count("timeline")
            setup.until(partial(_passed, setup, setup.clock.monotonic_s() + 100))
        setup.server.write("lost")
        setup.until(lambda: ("new", "lost") in events(place))
    assert "for longer than usual" in caplog.text
    setup.collector.close()


def test_a_cut_stream_is_bridged_by_asking(place: Place) -> None:
    setup = Streamed(place, "websocket")
    setup.until(lambda: bool(setup.streams.feeds))
    setup.streams.send("update", setup.server.write("1"))
    setup.until(lambda: len(events(place)) == 1)
    setup.streams.cut()
    setup.server.write("2")
    setup.until(lambda: len(events(place)) == 2)
    setup.streams.reopen()
    for number in range(100):
        setup.server.write(f"gap{number}")
    setup.until(lambda: len(events(place)) == 102)
    setup.collector.close()


def test_a_stream_that_opens_and_stays_silent_is_found_out(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Streamed(place, "websocket")
    setup.until(lambda: bool(setup.streams.feeds))
    start_s = setup.clock.monotonic_s()
    written = [0]

    def found_out() -> bool:
        if setup.clock.monotonic_s() > start_s + 20 * (written[0] + 1):
            written[0] += 1
            setup.server.write(f"p{written[0]}")
        return bool(setup.streams.unfollowed)

    with caplog.at_level(logging.WARNING):
        setup.until(found_out)
    assert "stays silent; polling instead" in caplog.text
    assert len(events(place)) >= 3, "what it did not bring was read all the while"
    setup.collector.close()


def test_a_server_without_streams_is_polled(place: Place) -> None:
    setup = Streamed(place)
    setup.server.write("1")
    setup.until(lambda: len(events(place)) == 1 and setup.server.count("timeline") > 5)
    assert [feed.transport for feed in setup.streams.feeds] == ["websocket", "sse"]
    assert setup.collector.stats.servers[0].way == "polling"
    setup.collector.close()


def test_server_sent_events_are_used_where_websockets_are_not(place: Place) -> None:
    setup = Streamed(place, "sse")
    setup.until(lambda: setup.collector.stats.servers[0].way == "sse")
    setup.streams.send("update", setup.server.write("1"))
    setup.until(lambda: len(events(place)) == 1)
    setup.collector.close()


def test_who_wants_streams_only_is_told_that_there_are_none(place: Place) -> None:
    setup = Streamed(place, mode="stream")
    with pytest.raises(FatalError, match="no stream"):
        setup.until(lambda: False)
    setup.collector.close()


def test_a_stream_that_loses_posts_is_repaired_and_it_is_counted(place: Place) -> None:
    setup = Streamed(place, "websocket", schedule=PollSchedule(interval_s=3.0, check_s=60.0))
    setup.until(lambda: bool(setup.streams.feeds))
    setup.streams.send("update", setup.server.write("1"))
    setup.until(lambda: len(events(place)) == 1)
    setup.until(partial(_passed, setup, setup.clock.monotonic_s() + 30))
    for number in range(90):
        setup.server.write(f"lost{number}")
    setup.until(lambda: len(events(place)) == 91)
    setup.until(lambda: setup.collector.stats.sources[0].stream_missed > 0)
    assert setup.collector.stats.servers[0].way == "websocket"
    setup.collector.close()


def test_while_the_log_cannot_be_written_streams_are_held_back(place: Place) -> None:
    trouble = disk()
    setup = Streamed(place, "websocket", trouble=trouble, pause_above=100, resume_below=50)
    setup.until(lambda: setup.collector.stats.servers[0].way == "websocket")
    trouble.share = 1.0
    for number in range(1_150):  # at most 1,000 leave the inbox at once
        setup.streams.send("delete", str(number).encode())
    setup.until(lambda: setup.streams.paused == [True])
    trouble.share = 0.0
    setup.until(lambda: setup.streams.paused == [True, False])
    setup.collector.close()


def test_trouble_of_the_disk_at_any_moment_loses_and_repeats_nothing(place: Place) -> None:
    trouble = disk()
    setup = Streamed(place, "websocket", trouble=trouble)
    setup.until(lambda: bool(setup.streams.feeds))
    trouble.share = 0.05
    expected = []
    for number in range(150):
        setup.streams.send("update", setup.server.write(f"p{number}"))
        expected.append(("new", f"p{number}"))
        if number % 10 == 0:
            setup.server.write(f"unsent{number}")
            setup.streams.cut()
            setup.streams.reopen()
            expected.append(("new", f"unsent{number}"))
        setup.until(partial(_passed, setup, setup.clock.monotonic_s() + 2))
    setup.until(lambda: setup.collector.stats.appended >= len(expected))
    trouble.share = 0.0
    setup.collector.finish()
    setup.collector.close()
    assert sorted(events(place)) == sorted(expected)


def test_what_has_come_is_logged_at_the_end(place: Place) -> None:
    setup = Streamed(place, "websocket")
    setup.until(lambda: bool(setup.streams.feeds))
    setup.streams.send("update", setup.server.write("1"))
    setup.until(lambda: len(events(place)) == 1)
    setup.streams.send("update", setup.server.write("2"))
    setup.collector.finish()
    setup.collector.close()
    assert ("new", "2") in events(place)
    assert setup.streams.closed
