"""Trending hashtags: those that are used far more than they were a moment before."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from mastostream.core.hashtags import hashtag_counts
from mastostream.core.models import Post
from mastostream.core.time import to_ms
from mastostream.core.window_records import TOP, Window, sum_of_uses

__all__ = [
    "LEAST_USES",
    "RECENT_S",
    "SIZE_S",
    "SLIDE_S",
    "TrendingHashtags",
    "hashtag_uses_at",
    "trend_score",
    "trending_hashtags",
]

RECENT_S: Final = 900
"""The last part of a window, whose uses are compared with those before: 15 minutes."""

SIZE_S: Final = RECENT_S + 3_600
"""Length of a window: the last 15 minutes, and the hour before."""

SLIDE_S: Final = 300
"""A window begins every 5 minutes."""

LEAST_USES: Final = 5
"""A hashtag that was used less often in the last part of the window is no trend: Mastodon's own
``threshold`` for hashtags."""


@attrs.frozen(kw_only=True)
class TrendingHashtags:
    """The hashtags that rise in a window: a record of the topic ``mastodon-trends``.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: newest observation of the window's posts, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts.
        hashtags: the ten hashtags at most with the highest scores, highest first, then by name.
        hashtag_counts: uses of each hashtag in the last 15 minutes, in the order of ``hashtags``.
        expected_counts: uses that were expected from the hour before, in the same order.
        scores: the score of each hashtag, see :func:`trend_score`, in the same order.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    hashtags: tuple[str, ...]
    hashtag_counts: tuple[int, ...]
    expected_counts: tuple[float, ...]
    scores: tuple[float, ...]


def trend_score(observed: int, expected: float) -> float:
    """Return how far a number is above the expected one: ``(observed - expected)² / expected``.

    The score is 0 where ``observed`` is not above ``expected``. This is the term of Pearson's
    chi-squared statistic, and Mastodon's own score (``app/models/trends/tags.rb``), which compares
    the accounts of a day; here the uses of 15 minutes are compared.

    Args:
        observed: the number of uses.
        expected: the number that was expected, above 0.
    """
    return (observed - expected) ** 2 / expected if observed > expected else 0.0


def hashtag_uses_at(post: Post) -> list[object]:
    """Return what :func:`trending_hashtags` needs of a post.

    That is when it was written, in milliseconds since the epoch, and the uses of each hashtag.
    """
    return [to_ms(post.created_at), {item.tag: item.count for item in hashtag_counts(post)}]


def trending_hashtags(
    window: Window, uses: Sequence[tuple[int, dict[str, int]]]
) -> TrendingHashtags:
    """Return the hashtags that rise in a window from the uses in its posts.

    A quarter of the uses in the hour before is expected in the last 15 minutes, but at least 1: the
    floor below which numbers are too small to compare.
    """
    recent_ms = to_ms(window.end) - RECENT_S * 1000
    recent = sum_of_uses(tags for created_ms, tags in uses if created_ms >= recent_ms)
    before = sum_of_uses(tags for created_ms, tags in uses if created_ms < recent_ms)
    parts = (SIZE_S - RECENT_S) // RECENT_S
    found = []
    for tag, count in recent.items():
        expected = max(before[tag] / parts, 1.0)
        score = trend_score(count, expected)
        if count >= LEAST_USES and score > 0:
            found.append((-score, tag, count, expected))
    ranked = sorted(found)[:TOP]
    return TrendingHashtags(
        key=window.key,
        observed_at=window.observed_at,
        window_start=window.start,
        window_end=window.end,
        posts=len(uses),
        hashtags=tuple(tag for _, tag, _, _ in ranked),
        hashtag_counts=tuple(count for _, _, count, _ in ranked),
        expected_counts=tuple(expected for _, _, _, expected in ranked),
        scores=tuple(-score for score, _, _, _ in ranked),
    )
