"""Records of windowed analyses, one for each window, and the functions that make them.

A window in which all posts were deleted has a record with 0 posts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import attrs

from mastostream.core.accounts import account_name
from mastostream.core.engagement import DEFAULT_WEIGHTS, EngagementWeights, engagement_score
from mastostream.core.hashtags import hashtag_counts
from mastostream.core.languages import primary_language
from mastostream.core.models import Post
from mastostream.core.time import from_ms

__all__ = [
    "TOP",
    "DashboardMetrics",
    "LateRecord",
    "Window",
    "WindowCount",
    "WindowEngagement",
    "WindowLanguages",
    "WindowUsers",
    "count_posts",
    "dashboard_facts",
    "dashboard_metrics",
    "engagement_of_window",
    "languages_of_window",
    "sum_of_uses",
    "users_of_window",
    "window_of",
]

TOP: Final = 10
"""Upper bound of the hashtags or accounts that one record names."""


@attrs.frozen(kw_only=True)
class Window:
    """An interval of event time.

    Attributes:
        start: first moment of the window, UTC.
        end: first moment after the window, UTC.
        observed_at: when the newest of what is known of its posts was observed, UTC: the version of
            the window's record.
    """

    start: datetime
    end: datetime
    observed_at: datetime

    @property
    def key(self) -> str:
        """Key of the window's record: its start in ISO 8601, such as ``2026-01-31T12:00:00Z``."""
        return self.start.isoformat().replace("+00:00", "Z")


def window_of(start_ms: int, end_ms: int, observed_ms: int) -> Window:
    """Return the window of these times, which are milliseconds since the epoch."""
    return Window(start=from_ms(start_ms), end=from_ms(end_ms), observed_at=from_ms(observed_ms))


@attrs.frozen(kw_only=True)
class WindowCount:
    """How many posts were written in a window: a record of the topic ``mastodon-counts``.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: newest observation of the window's posts, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int


@attrs.frozen(kw_only=True)
class WindowEngagement:
    """Average and maximum engagement of a window's posts.

    A post counts with the score of its newest version.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: newest observation of the window's posts, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts.
        average_engagement: mean of the scores; 0 without posts.
        max_engagement: highest score; 0 without posts.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    average_engagement: float
    max_engagement: int


@attrs.frozen(kw_only=True)
class WindowLanguages:
    """How many of a window's posts are in each language.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: newest observation of the window's posts, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts.
        languages: all languages, most posts first, then by name.
        language_counts: number of posts in each language, in the order of ``languages``.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    languages: tuple[str, ...]
    language_counts: tuple[int, ...]


@attrs.frozen(kw_only=True)
class WindowUsers:
    """The most active accounts of a window.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: newest observation of the window's posts, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts.
        distinct_accounts: number of accounts that wrote them.
        accounts: the ten most active accounts at most, most posts first, then by name; each is
            an :func:`account_name`.
        account_counts: number of posts of each account, in the order of ``accounts``.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    distinct_accounts: int
    accounts: tuple[str, ...]
    account_counts: tuple[int, ...]


@attrs.frozen(kw_only=True)
class DashboardMetrics:
    """Summary of a window: a record of the topic ``mastodon-dashboard``.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: newest observation of the window's posts, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts.
        accounts: number of accounts that wrote them.
        average_engagement: mean of the scores of the posts' newest versions; 0 without posts.
        max_engagement: highest of these scores; 0 without posts.
        languages: all languages, most posts first, then by name.
        language_counts: number of posts in each language, in the order of ``languages``.
        hashtags: the ten most used hashtags at most, most uses first, then by name.
        hashtag_counts: number of uses of each hashtag, in the order of ``hashtags``.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    accounts: int
    average_engagement: float
    max_engagement: int
    languages: tuple[str, ...]
    language_counts: tuple[int, ...]
    hashtags: tuple[str, ...]
    hashtag_counts: tuple[int, ...]


def count_posts(window: Window, values: Sequence[object]) -> WindowCount:
    """Return the number of a window's posts, which is the number of values."""
    return WindowCount(
        key=window.key,
        observed_at=window.observed_at,
        window_start=window.start,
        window_end=window.end,
        posts=len(values),
    )


def engagement_of_window(window: Window, scores: Sequence[int]) -> WindowEngagement:
    """Return average and maximum of the posts' scores."""
    return WindowEngagement(
        key=window.key,
        observed_at=window.observed_at,
        window_start=window.start,
        window_end=window.end,
        posts=len(scores),
        average_engagement=_mean(scores),
        max_engagement=max(scores, default=0),
    )


def languages_of_window(window: Window, languages: Sequence[str]) -> WindowLanguages:
    """Return the number of posts in each language, from the language of each post."""
    names, counts = _ranked(Counter(languages))
    return WindowLanguages(
        key=window.key,
        observed_at=window.observed_at,
        window_start=window.start,
        window_end=window.end,
        posts=len(languages),
        languages=names,
        language_counts=counts,
    )


def users_of_window(window: Window, accounts: Sequence[str]) -> WindowUsers:
    """Return the accounts with the most posts, from the author of each post."""
    ranked = Counter(accounts)
    names, counts = _ranked(ranked, TOP)
    return WindowUsers(
        key=window.key,
        observed_at=window.observed_at,
        window_start=window.start,
        window_end=window.end,
        posts=len(accounts),
        distinct_accounts=len(ranked),
        accounts=names,
        account_counts=counts,
    )


def dashboard_facts(post: Post, weights: EngagementWeights = DEFAULT_WEIGHTS) -> list[object]:
    """Return what :func:`dashboard_metrics` needs of a post.

    The list has the account's name, the score, the language, and the uses of each hashtag.
    """
    return [
        account_name(post),
        engagement_score(post, weights),
        primary_language(post),
        {item.tag: item.count for item in hashtag_counts(post)},
    ]


def dashboard_metrics(
    window: Window, facts: Sequence[tuple[str, int, str, dict[str, int]]]
) -> DashboardMetrics:
    """Return the summary of a window from the facts of its posts."""
    accounts, scores, languages, hashtags = zip(*facts, strict=True) if facts else ((),) * 4
    names, counts = _ranked(Counter(languages))
    tags, uses = _ranked(sum_of_uses(hashtags), TOP)
    return DashboardMetrics(
        key=window.key,
        observed_at=window.observed_at,
        window_start=window.start,
        window_end=window.end,
        posts=len(facts),
        accounts=len(set(accounts)),
        average_engagement=_mean(scores),
        max_engagement=max(scores, default=0),
        languages=names,
        language_counts=counts,
        hashtags=tags,
        hashtag_counts=uses,
    )


def _mean(scores: Sequence[int]) -> float:
    return sum(scores) / len(scores) if scores else 0.0


def sum_of_uses(hashtags: Iterable[dict[str, int]]) -> Counter[str]:
    """Return the uses of each hashtag in all posts, from those in each post."""
    sums: Counter[str] = Counter()
    for counts in hashtags:
        sums.update(counts)
    return sums


def _ranked(
    counts: Counter[str], limit: int | None = None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and counts, highest count first, then by name; at most ``limit`` of them."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return tuple(name for name, _ in ranked), tuple(count for _, count in ranked)


@attrs.frozen(kw_only=True)
class LateRecord:
    """A new post that is in no window: a record of the topic ``mastodon-late``.

    Attributes:
        key: key of the post.
        observed_at: when the post was observed, UTC; the version of the record.
        analysis: name of the windowed analysis.
        reason: ``late`` if the post was observed too long after its creation, ``ahead`` if it was
            written too far in the future.
        created_at: when the post was written, UTC.
        window_start: start of the window that it belongs to, of the last one if there are several.
    """

    key: str
    observed_at: datetime
    analysis: str
    reason: str
    created_at: datetime
    window_start: datetime
