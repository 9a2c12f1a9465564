"""Panels of the dashboard, one function for each.

Both indices have one document for each post. Panels use ``mastodon-hashtags`` where they can: only
these documents have hashtags, so that the hashtag control filters them. Panels of engagement use
``mastodon-engagement``.
"""

from typing import Final

from mastostream.core.indices import INDICES, Index
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.dashboards.kibana.charts import bars, donut, lines, table, tag_cloud, tile
from mastostream.dashboards.kibana.columns import (
    average,
    count,
    distinct,
    maximum,
    over_time,
    ranges,
    top_values,
    total,
)
from mastostream.dashboards.kibana.dashboard import Documents, Panel

__all__ = [
    "ENGAGEMENT_INDEX",
    "HASHTAGS_INDEX",
    "account_count",
    "active_accounts",
    "average_engagement",
    "engagement_over_time",
    "engagement_ranges",
    "hashtag_cloud",
    "languages",
    "post_count",
    "top_hashtags",
    "top_posts",
    "total_engagement",
    "volume",
]


def _index(name: str) -> Index:
    return next(index for index in INDICES if index.name == name)


ENGAGEMENT_INDEX: Final = _index(ENGAGEMENT)
HASHTAGS_INDEX: Final = _index(HASHTAGS)

_BOTH: Final = "Follows both controls."
_LANGUAGE_ONLY: Final = (
    "Follows the language. These documents have no hashtags: nothing is shown while one is chosen."
)
_RANGES: Final = (0, 1, 5, 20, 100, 500)
"""Lowest scores of the ranges of engagement. Most posts have no reaction and a few have thousands:
with ranges of equal length nearly all posts would be in the first one."""


def post_count() -> Panel:
    """Return the panel with the number of posts."""
    return Panel(
        name="post-count",
        title="Posts",
        description=_BOTH,
        index=HASHTAGS_INDEX,
        columns={"posts": count("Posts")},
        chart=tile(number="posts"),
        hide_title=True,
    )


def account_count() -> Panel:
    """Return the panel with the number of accounts that wrote posts."""
    return Panel(
        name="account-count",
        title="Accounts",
        description=_BOTH,
        index=HASHTAGS_INDEX,
        columns={"accounts": distinct("account", "Accounts")},
        chart=tile(number="accounts"),
        hide_title=True,
    )


def total_engagement() -> Panel:
    """Return the panel with the sum of all engagement scores."""
    return Panel(
        name="total-engagement",
        title="Total engagement",
        description=_LANGUAGE_ONLY,
        index=ENGAGEMENT_INDEX,
        columns={"total": total("engagement_score", "Total engagement")},
        chart=tile(number="total"),
        hide_title=True,
    )


def average_engagement() -> Panel:
    """Return the panel with the mean engagement score of a post."""
    return Panel(
        name="average-engagement",
        title="Average engagement",
        description=_LANGUAGE_ONLY,
        index=ENGAGEMENT_INDEX,
        columns={"average": average("engagement_score", "Average engagement")},
        chart=tile(number="average"),
        hide_title=True,
    )


def volume() -> Panel:
    """Return the panel with posts over time, by the languages with most posts in the time range."""
    return Panel(
        name="volume",
        title="Posts over time by language",
        description=f"By the time of writing. {_BOTH}",
        index=HASHTAGS_INDEX,
        columns={
            "language": top_values("language", "Language", by="posts", size=6, with_others=True),
            "time": over_time("created_at", "Time"),
            "posts": count("Posts"),
        },
        chart=bars(x="time", y="posts", split="language"),
    )


def languages() -> Panel:
    """Return the panel with each language's share of the posts."""
    return Panel(
        name="languages",
        title="Languages",
        description=f"As the authors' servers say. {_BOTH}",
        index=HASHTAGS_INDEX,
        columns={
            "language": top_values("language", "Language", by="posts", size=6, with_others=True),
            "posts": count("Posts"),
        },
        chart=donut(group="language", number="posts"),
    )


def top_hashtags() -> Panel:
    """Return the panel with the hashtags of most posts, as bars."""
    return Panel(
        name="top-hashtags",
        title="Top hashtags",
        description=f"How many posts have it, however often each repeats it. {_BOTH}",
        index=HASHTAGS_INDEX,
        columns={
            "hashtag": top_values("hashtags", "Hashtag", by="posts", size=15),
            "posts": count("Posts"),
        },
        chart=bars(x="hashtag", y="posts", horizontal=True),
    )


def hashtag_cloud() -> Panel:
    """Return the panel with more of these hashtags, as a cloud."""
    return Panel(
        name="hashtag-cloud",
        title="Hashtag cloud",
        description=_BOTH,
        index=HASHTAGS_INDEX,
        columns={
            "hashtag": top_values("hashtags", "Hashtag", by="posts", size=50),
            "posts": count("Posts"),
        },
        chart=tag_cloud(tag="hashtag", number="posts"),
    )


def active_accounts() -> Panel:
    """Return the panel with the accounts that wrote most posts."""
    return Panel(
        name="active-accounts",
        title="Most active accounts",
        description=_BOTH,
        index=HASHTAGS_INDEX,
        columns={
            "account": top_values("account", "Account", by="posts", size=20),
            "posts": count("Posts"),
        },
        chart=table(["account", "posts"]),
    )


def engagement_over_time() -> Panel:
    """Return the panel with average and highest engagement, as it is now, by time of writing."""
    return Panel(
        name="engagement-over-time",
        title="Engagement over time",
        description=(
            "Of the posts written at each time, as their counts were last read. Fresh posts have "
            f"little yet. {_LANGUAGE_ONLY}"
        ),
        index=ENGAGEMENT_INDEX,
        columns={
            "time": over_time("created_at", "Time"),
            "average": average("engagement_score", "Average engagement"),
            "highest": maximum("engagement_score", "Highest engagement"),
        },
        chart=lines(x="time", left="average", right="highest"),
    )


def engagement_ranges() -> Panel:
    """Return the panel with the number of posts in each range of engagement."""
    return Panel(
        name="engagement-ranges",
        title="Posts by engagement",
        description=_LANGUAGE_ONLY,
        index=ENGAGEMENT_INDEX,
        columns={
            "range": ranges("engagement_score", "Engagement", _RANGES),
            "posts": count("Posts"),
        },
        chart=bars(x="range", y="posts"),
    )


def top_posts() -> Documents:
    """Return the panel with the posts of highest engagement: their text, and links."""
    return Documents(
        name="top-posts",
        title="Top posts",
        description=f"Highest engagement first; the content is HTML. {_LANGUAGE_ONLY}",
        index=ENGAGEMENT_INDEX,
        fields={"engagement_score": 120, "url": 320, "account": 220, "content": 0},
        highest_first="engagement_score",
    )
