"""When a timeline is polled next."""

from collections.abc import Sequence

import pytest

from mastostream.collector.timeline import (
    FULL,
    PATIENCE,
    SHORTEST_INTERVAL_S,
    PollSchedule,
    SourceStats,
    Timeline,
    lookback_reach_s,
)

SCHEDULE = PollSchedule(interval_s=3.0, longest_interval_s=30.0, overlap_s=600.0)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(
        host="s.example",
        tags=("news",),
        stats=SourceStats(name="s.example#news"),
        due_s=0.0,
        interval_s=SCHEDULE.interval_s,
        lookback_due_s=0.0,
    )


def pauses_s(
    timeline: Timeline, new_posts: Sequence[int], *, stream_works: bool = False
) -> list[float]:
    """Return the pauses after polls with these numbers of new posts."""
    pauses = []
    for count in new_posts:
        now_s = timeline.due_s
        timeline.new_posts = count
        timeline.poll_done(SCHEDULE, now_s, stream_works=stream_works)
        pauses.append(timeline.due_s - now_s)
    return pauses


def test_a_quiet_timeline_is_looked_at_less_and_less_often_until_it_has_news(
    timeline: Timeline,
) -> None:
    pauses = pauses_s(timeline, [0] * 100)
    assert set(pauses[:PATIENCE]) == {SCHEDULE.interval_s}
    assert pauses[PATIENCE] > SCHEDULE.interval_s
    assert pauses == sorted(pauses)
    assert pauses[-1] == SCHEDULE.longest_interval_s
    assert pauses_s(timeline, [1, 0]) == [SCHEDULE.interval_s] * 2


def test_a_busy_timeline_is_looked_at_more_often_within_limits(timeline: Timeline) -> None:
    assert pauses_s(timeline, [FULL - 1]) == [SCHEDULE.interval_s]
    assert pauses_s(timeline, [FULL] * 3) == [1.5, SHORTEST_INTERVAL_S, SHORTEST_INTERVAL_S]
    assert pauses_s(timeline, [1]) == [SCHEDULE.interval_s]


def test_a_timeline_whose_stream_works_is_only_checked(timeline: Timeline) -> None:
    timeline.open_tags = {"news"}
    timeline.filled = True
    assert pauses_s(timeline, [0, FULL], stream_works=True) == [SCHEDULE.check_s] * 2
    assert pauses_s(timeline, [0], stream_works=False) == [SCHEDULE.interval_s]


def test_the_pause_between_looks_is_told(timeline: Timeline) -> None:
    pauses_s(timeline, [1, 1])
    assert timeline.stats.interval_s == SCHEDULE.interval_s


def test_lookbacks_reach_back_by_powers_of_two_up_to_the_horizon() -> None:
    reach = [lookback_reach_s(number, SCHEDULE) / SCHEDULE.overlap_s for number in range(1, 9)]
    assert reach == [2, 4, 2, 8, 2, 4, 2, 16]
    assert lookback_reach_s(2**20, SCHEDULE) == SCHEDULE.overlap_horizon_s
