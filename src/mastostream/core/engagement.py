"""The engagement score of a post: a weighted sum of the reactions to it."""

from datetime import datetime
from typing import Final

import attrs

from mastostream.core.accounts import account_name
from mastostream.core.languages import stated_language
from mastostream.core.models import Post

__all__ = [
    "MAX_WEIGHT",
    "EngagementRecord",
    "EngagementWeights",
    "engagement_record",
    "engagement_score",
]

MAX_WEIGHT: Final = 2**20
"""Upper bound of a weight. Counts are at most 2**40, so that the sum of four weighted counts is at
most 2**62: it fits the 64-bit integers of SQLite, Java and Elasticsearch."""


def _weight(value: int) -> int:
    if type(value) is not int or not 0 <= value <= MAX_WEIGHT:
        raise ValueError(f"expected a whole weight from 0 to {MAX_WEIGHT}, got {value!r}")
    return value


@attrs.frozen(kw_only=True)
class EngagementWeights:
    """The weights of the engagement score.

    The defaults follow the effort of a reaction: a click counts 1, to pass a post on counts 2, to
    write a reply counts 3.

    Attributes:
        favourites: what one favourite adds to the score: a whole number, 0 to 2**20, as are all.
        reblogs: what one boost adds.
        replies: what one reply adds.
        quotes: what one quote adds.

    Raises:
        ValueError: a weight is not an ``int`` from 0 to 2**20.
    """

    favourites: int = attrs.field(default=1, converter=_weight)
    reblogs: int = attrs.field(default=2, converter=_weight)
    replies: int = attrs.field(default=3, converter=_weight)
    quotes: int = attrs.field(default=2, converter=_weight)


DEFAULT_WEIGHTS: Final = EngagementWeights()


def engagement_score(post: Post, weights: EngagementWeights = DEFAULT_WEIGHTS) -> int:
    """Return the engagement score of a post.

    The score is favourites, boosts, replies and quotes, each times its weight, added up. It is at
    least 0 and below 2**63, never falls when a count rises, and is linear in the weights.
    """
    return (
        post.favourites_count * weights.favourites
        + post.reblogs_count * weights.reblogs
        + post.replies_count * weights.replies
        + post.quotes_count * weights.quotes
    )


# No slots: the constructor then takes two thirds of the time, and it runs for each post.
@attrs.frozen(kw_only=True, slots=False)
class EngagementRecord:
    """One post and its engagement at one moment: a record of the topic ``mastodon-engagement``.

    The attributes that are not listed are those of :class:`Post` and of its :class:`Account`.

    Attributes:
        key: key of the record, and id of the document in an index.
        observed_at: time at which the counts were read, UTC. It is the version: of several records
            with one key, the one with the latest time is valid.
        instance: host name of the server that showed the post; empty where it is not known.
        account: the author's :func:`account_name`.
        language: the language tag in its canonical spelling; ``None`` where none is usable.
        content: HTML as the server sent it. It may be hostile: escape it or reduce it to text.
        engagement_score: the result of :func:`engagement_score`.
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
    """Return the record of a post's engagement, scored with these weights."""
    account, stamp = post.account, post.mastostream
    return EngagementRecord(
        key=post.id if stamp is None else stamp.key,
        observed_at=post.observed_at if stamp is None else stamp.observed_at,
        id=post.id,
        uri=post.uri,
        url=post.url,
        instance="" if stamp is None else stamp.instance,
        account=account_name(post),
        display_name=account.display_name,
        bot=account.bot,
        language=stated_language(post),
        created_at=post.created_at,
        edited_at=post.edited_at,
        content=post.content,
        favourites_count=post.favourites_count,
        reblogs_count=post.reblogs_count,
        replies_count=post.replies_count,
        quotes_count=post.quotes_count,
        engagement_score=engagement_score(post, weights),
    )
