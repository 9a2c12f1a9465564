"""Definition of the dashboard ``Mastodon live``: the places of its panels, and its controls."""

from typing import Final

from mastostream.core.indices import INDICES
from mastostream.dashboards.kibana.dashboard import Control, Dashboard, Place
from mastostream.dashboards.kibana.panels import (
    ENGAGEMENT_INDEX,
    HASHTAGS_INDEX,
    account_count,
    active_accounts,
    average_engagement,
    engagement_over_time,
    engagement_ranges,
    hashtag_cloud,
    languages,
    post_count,
    top_hashtags,
    top_posts,
    total_engagement,
    volume,
)

__all__ = ["LIVE"]

LIVE: Final = Dashboard(
    name="mastodon-live",
    title="Mastodon live",
    description=(
        "Posts, languages, hashtags and engagement as they come. The language reaches every panel; "
        "the hashtag reaches those that count posts, and empties those of engagement."
    ),
    indices=INDICES,
    links={ENGAGEMENT_INDEX.name: ("url",)},
    places=(
        Place(panel=post_count(), x=0, y=0, width=12, height=5),
        Place(panel=account_count(), x=12, y=0, width=12, height=5),
        Place(panel=total_engagement(), x=24, y=0, width=12, height=5),
        Place(panel=average_engagement(), x=36, y=0, width=12, height=5),
        Place(panel=volume(), x=0, y=5, width=32, height=13),
        Place(panel=languages(), x=32, y=5, width=16, height=13),
        Place(panel=top_hashtags(), x=0, y=18, width=16, height=15),
        Place(panel=hashtag_cloud(), x=16, y=18, width=16, height=15),
        Place(panel=active_accounts(), x=32, y=18, width=16, height=15),
        Place(panel=engagement_over_time(), x=0, y=33, width=30, height=12),
        Place(panel=engagement_ranges(), x=30, y=33, width=18, height=12),
        Place(panel=top_posts(), x=0, y=45, width=48, height=18),
    ),
    controls=(
        # Both take their values from the index that has both fields, so that a chosen language
        # leaves the hashtags of that language.
        Control(field="language", index=HASHTAGS_INDEX, title="Language"),
        Control(field="hashtags", index=HASHTAGS_INDEX, title="Hashtag"),
    ),
    time_from="now-15m",
    refresh_s=10,
)
"""The dashboard. It needs both indices, which ``mastostream run`` writes, or ``analyze --analysis
full`` together with ``index``."""
