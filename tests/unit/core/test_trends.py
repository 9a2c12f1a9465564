"""Trending hashtags."""

from datetime import UTC, datetime, timedelta

import pytest

from mastostream import Account, Aggregate, Post, Tag, Window
from mastostream.core.trends import (
    LEAST_USES,
    SIZE_S,
    hashtag_uses_at,
    trend_score,
    trending_hashtags,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(seconds=SIZE_S)
WINDOW = Window(start=START, end=END, observed_at=END)


def uses(minute: float, tag: str, count: int) -> list[tuple[int, dict[str, int]]]:
    post = Post(
        id="1",
        created_at=START + timedelta(minutes=minute),
        account=Account(acct="a"),
        tags=(Tag(name=tag),),
    )
    return [tuple(hashtag_uses_at(post))] * count  # type: ignore[list-item]  # a list of two


def test_what_rises_is_above_what_is_always_used_much() -> None:
    values = [
        *uses(10, "news", 400),  # 100 are expected, and 110 come
        *uses(70, "news", 110),
        *uses(20, "quake", 4),  # 1 is expected
        *uses(60, "quake", 20),  # the first moment of the last 15 minutes
        *uses(5, "fading", 80),
        *uses(74, "fading", 10),
        *uses(74, "rare", LEAST_USES - 1),
        *uses(74, "new", LEAST_USES),
    ]
    record = trending_hashtags(WINDOW, values)
    assert record.posts == len(values)
    assert record.hashtags == ("quake", "new", "news")
    assert record.hashtag_counts == (20, LEAST_USES, 110)
    assert record.expected_counts == (1.0, 1.0, 100.0)
    assert record.scores == (361.0, 16.0, 1.0)


def test_nothing_trends_in_an_empty_window() -> None:
    record = trending_hashtags(WINDOW, [])
    assert (record.posts, record.hashtags, record.scores) == (0, (), ())


def test_equal_scores_are_ordered_by_name_and_ten_are_named() -> None:
    values = [use for number in range(12) for use in uses(70, f"t{number:02}", 6)]
    record = trending_hashtags(WINDOW, values)
    assert record.hashtags == tuple(f"t{number:02}" for number in range(10))


def test_a_score_is_the_squared_difference_in_units_of_what_was_expected() -> None:
    assert trend_score(6, 2.0) == 8.0
    assert trend_score(2, 2.0) == trend_score(1, 2.0) == 0.0


def test_windows_hop_by_a_whole_part_of_their_size() -> None:
    with pytest.raises(ValueError, match="slide_s"):
        Aggregate(result=trending_hashtags, size_s=60, slide_s=25)
    assert Aggregate(result=trending_hashtags, size_s=60).slide_s == 60
