"""The index port: documents by id, of which only the newest version counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import attrs

__all__ = ["Document", "IndexReader", "IndexWriter", "Refusal", "Summary", "TopPost"]


class Document(NamedTuple):
    """One version of a document, or its deletion.

    Attributes:
        index_name: the name of its index.
        id: the document's id, which is the post's key.
        version: the version, milliseconds since the epoch; the highest one counts.
        body: the JSON object; ``None`` for a deletion.
    """

    index_name: str
    id: str
    version: int
    body: bytes | None


class Refusal(NamedTuple):
    """A document that the index can never store.

    Attributes:
        position: its position in the batch, from 0.
        reason: why it cannot be stored, for people to read.
    """

    position: int
    reason: str


class IndexWriter(Protocol):
    """Upserts documents. The same document may be written again, later or out of order."""

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        """Store all documents that are newer than the stored ones; return those that were refused.

        A document of the same version replaces the stored one, but does not bring a deleted one
        back. On return, all documents that were not refused are durable. A call without documents
        checks that the index could be written now.

        Raises:
            RetriableError: the index cannot be written now. Some documents may have been stored;
                the same call may be repeated.
        """

    def identity(self, index_name: str) -> str:
        """Return a name of what an index holds: lower case letters and digits.

        It stays the same as long as the documents do. An index that is made anew has another one:
        whoever fills it has to begin at the beginning.

        Raises:
            RetriableError: the index cannot be reached now.
        """

    def close(self) -> None:
        """Release the connection; a second call does nothing."""


@attrs.frozen(kw_only=True)
class TopPost:
    """A post with its engagement, as the index holds it. Its texts are untrusted input."""

    key: str
    account: str
    url: str | None
    content: str
    language: str | None
    created_at: datetime
    engagement_score: int


@attrs.frozen(kw_only=True)
class Summary:
    """Statistics of the posts of a span of time. Lists are most frequent first, ties by name.

    Attributes:
        since: the start of the span, inclusive.
        volume: intervals by their start (UTC), with the number of posts that were created in each,
            oldest first.
        posts: the number of posts.
        accounts: the number of accounts that wrote them.
        average_engagement: the mean engagement score of the posts.
        max_engagement: the highest engagement score of a post.
        languages: languages (``und`` if unknown) with their number of posts.
        hashtags: hashtags with their number of uses, or of posts that use them: the index chooses.
        top_posts: the posts with the highest engagement score, highest first.
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
    """Reads the statistics that a dashboard shows."""

    def summary(self, since: datetime, until: datetime, interval_s: int, most: int) -> Summary:
        """Summarise the posts that were created in ``[since, until)``.

        Args:
            since: the start of the span.
            until: the end of the span.
            interval_s: the length of the intervals of ``volume``, in seconds.
            most: how many languages, hashtags and top posts to return, at most.

        Raises:
            RetriableError: the index cannot be read now.
        """

    def close(self) -> None:
        """Release the connection; a second call does nothing."""
