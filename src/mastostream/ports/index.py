"""The index: documents by id, the newest version of each."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import attrs

__all__ = ["Document", "IndexReader", "IndexWriter", "Refusal", "Summary", "TopPost"]


class Document(NamedTuple):
    """One version of one document, or its deletion.

    Attributes:
        index_name: the index it belongs to.
        id: the document's id: the post's key.
        version: milliseconds since the epoch; the highest wins.
        body: the JSON object, ``None`` for a deletion.
    """

    index_name: str
    id: str
    version: int
    body: bytes | None


class Refusal(NamedTuple):
    """A document that the index can never take.

    Attributes:
        position: its place in the batch.
        reason: why, for a person.
    """

    position: int
    reason: str


class IndexWriter(Protocol):
    """Writes documents. The same document may come again, later or out of order."""

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        """Store what is newer than what is there; return those that can never be stored.

        A document of the same version replaces the one that is there, but brings no deleted one
        back. On return, all others are durable. Without documents it makes sure that some could be
        written now.

        Raises:
            RetriableError: not now; a part may have been stored, and the same call may be made
                again.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""


@attrs.frozen(kw_only=True)
class TopPost:
    """A post with its engagement, as the index holds it. All text is hostile."""

    key: str
    account: str
    url: str | None
    content: str
    language: str | None
    created_at: datetime
    engagement_score: int


@attrs.frozen(kw_only=True)
class Summary:
    """What the posts of a span of time look like now. Most frequent first, ties by name.

    Attributes:
        since: posts that were created at or after this.
        volume: start of each interval (UTC), with how many posts were created in it, oldest first.
        posts: how many posts in all.
        accounts: how many accounts wrote them.
        languages: language (``und`` where unknown) with its posts.
        hashtags: hashtag with its uses, or with the posts that use it, as the index says.
        top_posts: highest engagement first.
    """

    since: datetime
    volume: tuple[tuple[datetime, int], ...]
    posts: int
    accounts: int
    average_engagement: float
    max_engagement: int
    languages: tuple[tuple[str, int], ...]
    hashtags: tuple[tuple[str, int], ...]
    top_posts: tuple[TopPost, ...]


class IndexReader(Protocol):
    """Answers what a dashboard asks."""

    def summary(self, since: datetime, until: datetime, interval_s: int, most: int) -> Summary:
        """Sum up the posts created in ``[since, until)``, naming at most ``most`` of each kind.

        Raises:
            RetriableError: not now.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""
