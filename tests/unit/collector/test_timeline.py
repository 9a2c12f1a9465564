"""When a timeline is looked at next."""

from collections.abc import Sequence

import pytest

from mastostream.collector.timeline import (
    FULL,
    PATIENCE,
    SHORTEST_INTERVAL_S,
    PollSchedule,
    SourceStats,
    Timeline,
    overlap_reach_s,
)

RHYTHM = PollSchedule(interval_s=3.0, longest_interval_s=30.0, overlap_s=600.0)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(
        host="s.example",
        tags=("news",),
        stats=SourceStats(name="s.example#news"),
        due_s=0.0,
        interval_s=RHYTHM.interval_s,
        overlap_due_s=0.0,
    )


def pauses_s(
    timeline: Timeline, new_posts: Sequence[int], *, stream_works: bool = False
) -> list[float]:
    """Return how long the pause is after each look that brings so many new posts."""
    found = []
    for count in new_posts:
        now_s = timeline.due_s
        timeline.new_posts = count
        timeline.looked(RHYTHM, now_s, stream_works=stream_works)
        found.append(timeline.due_s - now_s)
    return found


def test_a_quiet_timeline_is_looked_at_less_and_less_often_until_it_has_news(
    timeline: Timeline,
) -> None:
    pauses = pauses_s(timeline, [0] * 100)
    assert set(pauses[:PATIENCE]) == {RHYTHM.interval_s}
    assert pauses[PATIENCE] > RHYTHM.interval_s
    assert pauses == sorted(pauses)
    assert pauses[-1] == RHYTHM.longest_interval_s
    assert pauses_s(timeline, [1, 0]) == [RHYTHM.interval_s] * 2


def test_a_busy_timeline_is_looked_at_more_often_within_limits(timeline: Timeline) -> None:
    assert pauses_s(timeline, [FULL - 1]) == [RHYTHM.interval_s]
    assert pauses_s(timeline, [FULL] * 3) == [1.5, SHORTEST_INTERVAL_S, SHORTEST_INTERVAL_S]
    assert pauses_s(timeline, [1]) == [RHYTHM.interval_s]


def test_a_timeline_whose_stream_works_is_only_checked(timeline: Timeline) -> None:
    timeline.open_tags = {"news"}
    timeline.filled = True
    assert pauses_s(timeline, [0, FULL], stream_works=True) == [RHYTHM.check_s] * 2
    assert pauses_s(timeline, [0], stream_works=False) == [RHYTHM.interval_s]


def test_the_pause_between_looks_is_told(timeline: Timeline) -> None:
    pauses_s(timeline, [1, 1])
    assert timeline.stats.interval_s == RHYTHM.interval_s


def test_overlaps_reach_back_by_powers_of_two_up_to_the_horizon() -> None:
    reach = [overlap_reach_s(number, RHYTHM) / RHYTHM.overlap_s for number in range(1, 9)]
    assert reach == [2, 4, 2, 8, 2, 4, 2, 16]
    assert overlap_reach_s(2**20, RHYTHM) == RHYTHM.overlap_horizon_s
