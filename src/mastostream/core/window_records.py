"""What a closed window says: one record a window."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import attrs

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
    "account_name",
    "count_posts",
    "dashboard_facts",
    "dashboard_metrics",
    "engagement_of_window",
    "languages_of_window",
    "users_of_window",
    "window_of",
]

TOP: Final = 10
"""How many hashtags or accounts a record names."""


@attrs.frozen(kw_only=True)
class Window:
    """A stretch of event time, ``[start, end)``, UTC."""

    start: datetime
    end: datetime

    @property
    def key(self) -> str:
        """The key of the window's record: its start in ISO 8601."""
        return self.start.isoformat().replace("+00:00", "Z")


def window_of(start_ms: int, end_ms: int) -> Window:
    """Build a window from milliseconds since the epoch."""
    return Window(start=from_ms(start_ms), end=from_ms(end_ms))


@attrs.frozen(kw_only=True)
class WindowCount:
    """How many posts were written in a window: a record of ``mastodon-counts``.

    Attributes:
        key: the window's start.
        observed_at: the window's end; the version.
    """

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int


@attrs.frozen(kw_only=True)
class WindowEngagement:
    """Average and maximum engagement of a window's posts, as it was when each was first seen."""

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    average_engagement: float
    max_engagement: int


@attrs.frozen(kw_only=True)
class WindowLanguages:
    """How a window's posts spread over languages, most frequent first (ties by name)."""

    key: str
    observed_at: datetime
    window_start: datetime
    window_end: datetime
    posts: int
    languages: tuple[str, ...]
    language_counts: tuple[int, ...]


@attrs.frozen(kw_only=True)
class WindowUsers:
    """The most active accounts of a window, most posts first (ties by name), at most ten.

    Attributes:
        distinct_accounts: how many wrote at all.
        accounts: each as ``name@host``, or ``name`` where the post names no host.
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
    """A window at a glance: a record of ``mastodon-dashboard``.

    Attributes:
        accounts: how many accounts wrote.
        average_engagement: the mean score, as it was when each post was first seen.
        languages: all, most frequent first (ties by name); ``language_counts`` in the same order.
        hashtags: the ten that are used most, likewise.
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


def account_name(post: Post) -> str:
    """Return the author as ``name@host``, the same on every server that shows the post."""
    acct = post.account.acct
    return acct if "@" in acct or not post.instance else f"{acct}@{post.instance}"


def count_posts(window: Window, values: Sequence[object]) -> WindowCount:
    """Count a window's posts."""
    return WindowCount(
        key=window.key,
        observed_at=window.end,
        window_start=window.start,
        window_end=window.end,
        posts=len(values),
    )


def engagement_of_window(window: Window, scores: Sequence[int]) -> WindowEngagement:
    """Average and maximum of the posts' scores; at least one post."""
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
    """Count the posts of each language."""
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
    """Find the accounts with the most posts."""
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
    """Keep of a post what the dashboard needs: account, score, language, hashtags with counts."""
    return [
        account_name(post),
        engagement_score(post, weights),
        primary_language(post),
        {item.tag: item.count for item in hashtag_counts(post)},
    ]


def dashboard_metrics(
    window: Window, facts: Sequence[tuple[str, int, str, dict[str, int]]]
) -> DashboardMetrics:
    """Sum up a window; at least one post."""
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


def _sum(many: Iterable[dict[str, int]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for counts in many:
        sums.update(counts)
    return sums


def _ranked(
    counts: Counter[str], most: int | None = None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return tuple(name for name, _ in ranked), tuple(count for _, count in ranked)


@attrs.frozen(kw_only=True)
class LateRecord:
    """A post that no window could take: a record of ``mastodon-late``.

    Attributes:
        key: the post's key.
        observed_at: when the log took it.
        reason: ``late``, its window had closed; ``ahead``, it claims to come from the future.
        watermark: where the analysis stood then, in whole seconds, as windows end with them.
    """

    key: str
    observed_at: datetime
    analysis: str
    reason: str
    created_at: datetime
    window_start: datetime
    watermark: datetime | None
