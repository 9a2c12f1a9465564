"""Records of windowed analyses, one for each closed window, and the functions that make them."""

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
    """

    start: datetime
    end: datetime

    @property
    def key(self) -> str:
        """Key of the window's record: its start in ISO 8601, such as ``2026-01-31T12:00:00Z``."""
        return self.start.isoformat().replace("+00:00", "Z")


def window_of(start_ms: int, end_ms: int) -> Window:
    """Return the window between two times in milliseconds since the epoch."""
    return Window(start=from_ms(start_ms), end=from_ms(end_ms))


@attrs.frozen(kw_only=True)
class WindowCount:
    """How many posts were written in a window: a record of the topic ``mastodon-counts``.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: end of the window, UTC; the version of the record.
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

    A post counts with the score that it had when it was first observed.

    Attributes:
        key: key of the record: the window's start in ISO 8601.
        observed_at: end of the window, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts, at least 1.
        average_engagement: mean of the scores.
        max_engagement: highest score.
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
        observed_at: end of the window, UTC; the version of the record.
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
        observed_at: end of the window, UTC; the version of the record.
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
        observed_at: end of the window, UTC; the version of the record.
        window_start: first moment of the window, UTC.
        window_end: first moment after the window, UTC.
        posts: number of posts, at least 1.
        accounts: number of accounts that wrote them.
        average_engagement: mean of the scores that the posts had when they were first observed.
        max_engagement: highest of these scores.
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
        observed_at=window.end,
        window_start=window.start,
        window_end=window.end,
        posts=len(values),
    )


def engagement_of_window(window: Window, scores: Sequence[int]) -> WindowEngagement:
    """Return average and maximum of the posts' scores, of which there must be at least one."""
    return WindowEngagement(
        key=window.key,
        observed_at=window.end,
        window_start=window.start,
        window_end=window.end,
        posts=len(scores),
        average_engagement=sum(scores) / len(scores),
        max_engagement=max(scores),
    )


def languages_of_window(window: Window, languages: Sequence[str]) -> WindowLanguages:
    """Return the number of posts in each language, from the language of each post."""
    names, counts = _ranked(Counter(languages))
    return WindowLanguages(
        key=window.key,
        observed_at=window.end,
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
        observed_at=window.end,
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
    """Return the summary of a window from the facts of its posts, at least one post."""
    accounts, scores, languages, hashtags = zip(*facts, strict=True)
    names, counts = _ranked(Counter(languages))
    tags, uses = _ranked(_sum(hashtags), TOP)
    return DashboardMetrics(
        key=window.key,
        observed_at=window.end,
        window_start=window.start,
        window_end=window.end,
        posts=len(facts),
        accounts=len(set(accounts)),
        average_engagement=sum(scores) / len(scores),
        max_engagement=max(scores),
        languages=names,
        language_counts=counts,
        hashtags=tags,
        hashtag_counts=uses,
    )


def _sum(hashtags: Iterable[dict[str, int]]) -> Counter[str]:
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
    """A post that is in no window: a record of the topic ``mastodon-late``.

    Attributes:
        key: key of the post.
        observed_at: time at which the analysis left the post out, UTC.
        analysis: name of the windowed analysis.
        reason: ``late`` if its window had closed, ``ahead`` if its event time is too far in the
            future.
        created_at: event time of the post, UTC.
        window_start: start of the window that it belongs to, UTC.
        watermark: the analysis's watermark then, in whole seconds, because windows begin and end at
            whole seconds; ``None`` before the first post.
    """

    key: str
    observed_at: datetime
    analysis: str
    reason: str
    created_at: datetime
    window_start: datetime
    watermark: datetime | None
