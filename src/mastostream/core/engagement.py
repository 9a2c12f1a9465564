"""How much a post moves people."""

from datetime import datetime
from typing import Final

import attrs

from mastostream.core.models import Post

__all__ = [
    "MAX_WEIGHT",
    "EngagementRecord",
    "EngagementWeights",
    "engagement_record",
    "engagement_score",
]

MAX_WEIGHT: Final = 2**20
"""Four counts of at most 2**40, each times a weight of at most 2**20, stay below 2**63."""


def _weight(value: int) -> int:
    if type(value) is not int or not 0 <= value <= MAX_WEIGHT:
        raise ValueError(f"expected a whole weight from 0 to {MAX_WEIGHT}, got {value!r}")
    return value


@attrs.frozen(kw_only=True)
class EngagementWeights:
    """What each kind of reaction counts for: whole numbers, 0 to 2**20.

    The defaults follow the effort: a click counts 1, passing a post on 2, an answer 3.
    """

    favourites: int = attrs.field(default=1, converter=_weight)
    reblogs: int = attrs.field(default=2, converter=_weight)
    replies: int = attrs.field(default=3, converter=_weight)
    quotes: int = attrs.field(default=2, converter=_weight)


DEFAULT_WEIGHTS: Final = EngagementWeights()


def engagement_score(post: Post, weights: EngagementWeights = DEFAULT_WEIGHTS) -> int:
    """Return the weighted sum of a post's reactions.

    Never negative, below 2**63, not falling when a count rises, and linear in the weights.
    """
    return (
        post.favourites_count * weights.favourites
        + post.reblogs_count * weights.reblogs
        + post.replies_count * weights.replies
        + post.quotes_count * weights.quotes
    )


# Two records are made of each post. Without slots the constructor takes two thirds of the time.
@attrs.frozen(kw_only=True, slots=False)
class EngagementRecord:
    """One post and its engagement at one moment: a record of ``mastodon-engagement``.

    Attributes:
        key: the post's key; the document's id.
        observed_at: when the counts were read, UTC; the version.
        engagement_score: as :func:`engagement_score` counts.
        content: HTML as the server sent it, hostile: escape it or reduce it to text.
        account: the author's ``acct``.
    """

    key: str
    observed_at: datetime
    id: str
    uri: str
    url: str | None
    instance: str
    account: str
    display_name: str
    bot: bool
    language: str | None
    created_at: datetime
    edited_at: datetime | None
    content: str
    favourites_count: int
    reblogs_count: int
    replies_count: int
    quotes_count: int
    engagement_score: int


def engagement_record(post: Post, weights: EngagementWeights = DEFAULT_WEIGHTS) -> EngagementRecord:
    """Describe a post's engagement."""
    account, stamp = post.account, post.mastostream
    return EngagementRecord(
        key=post.id if stamp is None else stamp.key,
        observed_at=post.created_at if stamp is None else stamp.observed_at,
        id=post.id,
        uri=post.uri,
        url=post.url,
        instance="" if stamp is None else stamp.instance,
        account=account.acct,
        display_name=account.display_name,
        bot=account.bot,
        language=post.language,
        created_at=post.created_at,
        edited_at=post.edited_at,
        content=post.content,
        favourites_count=post.favourites_count,
        reblogs_count=post.reblogs_count,
        replies_count=post.replies_count,
        quotes_count=post.quotes_count,
        engagement_score=engagement_score(post, weights),
    )
