"""Names of topics, and of the indices with the same names, without a prefix.

Users and other programs rely on them: they do not change.
"""

from typing import Final

__all__ = [
    "COUNTS",
    "DASHBOARD",
    "DEAD_LETTERS",
    "ENGAGEMENT",
    "FILTERED",
    "HASHTAGS",
    "LATE",
    "REPLAYED",
    "STREAM",
    "TRENDS",
]

STREAM: Final = "Mastodon_stream"
ENGAGEMENT: Final = "mastodon-engagement"
HASHTAGS: Final = "mastodon-hashtags"
FILTERED: Final = "mastodon-filtered"
COUNTS: Final = "mastodon-counts"
DASHBOARD: Final = "mastodon-dashboard"
TRENDS: Final = "mastodon-trends"
DEAD_LETTERS: Final = "mastodon-dead-letters"
LATE: Final = "mastodon-late"
REPLAYED: Final = "mastodon-dead-letters-replayed"
"""Which records were replayed from dead letters: the key is :attr:`DeadLetter.origin`."""
