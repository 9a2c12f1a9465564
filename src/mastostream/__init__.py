"""Live analytics of Mastodon posts: the same typed functions run on a laptop and on Flink.

This module has the models of posts, the functions that analyse them, and all errors. It imports
none of the packages that talk to servers.
"""

from mastostream.core.accounts import account_name
from mastostream.core.analyses import Aggregate, Analysis
from mastostream.core.codec import decode, encode
from mastostream.core.engagement import (
    EngagementRecord,
    EngagementWeights,
    engagement_record,
    engagement_score,
)
from mastostream.core.hashtags import (
    HashtagCount,
    HashtagRecord,
    hashtag_counts,
    hashtag_record,
    merge_hashtag_counts,
    normalize_hashtag,
)
from mastostream.core.models import Account, Deletion, Post, Rejected, Stamp, Tag
from mastostream.core.plain_text import plain_text
from mastostream.core.trends import TrendingHashtags
from mastostream.core.window_records import DashboardMetrics, Window, WindowCount
from mastostream.exceptions import (
    BusyError,
    ConfigurationError,
    DamagedError,
    FatalError,
    MastostreamError,
    MissingExtraError,
    RecordError,
    RetriableError,
)

__all__ = [
    "Account",
    "Aggregate",
    "Analysis",
    "BusyError",
    "ConfigurationError",
    "DamagedError",
    "DashboardMetrics",
    "Deletion",
    "EngagementRecord",
    "EngagementWeights",
    "FatalError",
    "HashtagCount",
    "HashtagRecord",
    "MastostreamError",
    "MissingExtraError",
    "Post",
    "RecordError",
    "Rejected",
    "RetriableError",
    "Stamp",
    "Tag",
    "TrendingHashtags",
    "Window",
    "WindowCount",
    "account_name",
    "decode",
    "encode",
    "engagement_record",
    "engagement_score",
    "hashtag_counts",
    "hashtag_record",
    "merge_hashtag_counts",
    "normalize_hashtag",
    "plain_text",
]
