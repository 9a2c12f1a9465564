"""The index as one SQLite file: its writer and its reader.

Open it with any SQLite tool::

    sqlite3 mastostream-data/mastostream.sqlite3
    SELECT account, engagement_score, url FROM engagement ORDER BY engagement_score DESC LIMIT 10;
    SELECT hashtag, sum(uses) FROM hashtag_uses GROUP BY hashtag ORDER BY 2 DESC LIMIT 10;

The table ``documents`` holds the newest version of each document, and a tombstone for each deleted
one. ``engagement``, ``hashtags`` and ``hashtag_uses`` are views of the documents that are not
deleted.
"""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec

from mastostream.core.languages import primary_subtag
from mastostream.core.models import Timestamp
from mastostream.core.time import from_ms, to_ms
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.database import connect, transaction, translated
from mastostream.ports.index import Document, Refusal, Summary, TopPost

__all__ = ["SqliteIndex", "SqliteIndexReader"]

_T = TypeVar("_T")
_VERSION: Final = 1
_MAX_INT: Final = 2**63 - 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    index_name TEXT NOT NULL,
    id TEXT NOT NULL,               -- the post's key
    version INTEGER NOT NULL,       -- when it was observed, milliseconds since 1970
    deleted INTEGER NOT NULL,       -- 1: a tombstone
    body TEXT,                      -- the record, JSON; null where deleted
    created_ms INTEGER,             -- the post's creation, milliseconds since 1970
    PRIMARY KEY (index_name, id)
);
CREATE TABLE IF NOT EXISTS identities (
    index_name TEXT PRIMARY KEY,
    identity TEXT NOT NULL          -- drawn when the index was first filled
);
CREATE INDEX IF NOT EXISTS documents_by_creation ON documents (index_name, created_ms)
    WHERE deleted = 0;
CREATE VIEW IF NOT EXISTS engagement AS
    SELECT id AS key,
           json_extract(body, '$.account') AS account,
           json_extract(body, '$.engagement_score') AS engagement_score,
           json_extract(body, '$.favourites_count') AS favourites_count,
           json_extract(body, '$.reblogs_count') AS reblogs_count,
           json_extract(body, '$.replies_count') AS replies_count,
           json_extract(body, '$.quotes_count') AS quotes_count,
           json_extract(body, '$.language') AS language,
           json_extract(body, '$.created_at') AS created_at,
           json_extract(body, '$.edited_at') AS edited_at,
           json_extract(body, '$.observed_at') AS observed_at,
           json_extract(body, '$.instance') AS instance,
           json_extract(body, '$.url') AS url,
           json_extract(body, '$.content') AS content
    FROM documents WHERE index_name = 'mastodon-engagement' AND deleted = 0;
CREATE VIEW IF NOT EXISTS hashtags AS
    SELECT id AS key,
           json_extract(body, '$.hashtags') AS hashtags,
           json_extract(body, '$.hashtag_counts') AS hashtag_counts,
           json_extract(body, '$.account') AS account,
           json_extract(body, '$.language') AS language,
           json_extract(body, '$.created_at') AS created_at,
           json_extract(body, '$.observed_at') AS observed_at
    FROM documents WHERE index_name = 'mastodon-hashtags' AND deleted = 0;
CREATE VIEW IF NOT EXISTS hashtag_uses AS
    SELECT documents.id AS key, tag.value AS hashtag,
           json_extract(body, '$.hashtag_counts[' || tag.key || ']') AS uses,
           json_extract(body, '$.created_at') AS created_at
    FROM documents, json_each(body, '$.hashtags') AS tag
    WHERE index_name = 'mastodon-hashtags' AND deleted = 0
"""

_UPSERT: Final = (
    "INSERT INTO documents (index_name, id, version, deleted, body, created_ms) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version, "
    "deleted = excluded.deleted, body = excluded.body, created_ms = excluded.created_ms "
    "WHERE excluded.version > version "
    "OR (excluded.version = version AND (excluded.deleted = 1 OR deleted = 0))"
)


class _Members(msgspec.Struct):
    """The member of a document that becomes a column of its own."""

    created_at: Timestamp | None = None


class _Engagement(msgspec.Struct):
    """The members of an engagement record that a summary needs."""

    key: str
    account: str
    engagement_score: int
    created_at: datetime
    url: str | None = None
    content: str = ""
    language: str | None = None


class _Hashtags(msgspec.Struct):
    """The members of a hashtag record that a summary needs: tags, and the uses of each."""

    hashtags: list[str]
    hashtag_counts: list[int]


_decode_members: Final = msgspec.json.Decoder(_Members).decode
_decode_engagement: Final = msgspec.json.Decoder(_Engagement).decode
_decode_hashtags: Final = msgspec.json.Decoder(_Hashtags).decode


class SqliteIndex:
    """A :class:`ports.index.IndexWriter` on a file. Each ``write`` is one transaction.

    A document may be written twice: an upsert keeps the highest version. Of two writes with the
    same version the later one stays, but a document never replaces a deletion of its own version.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if it is missing.

        Raises:
            DamagedError, FatalError, RetriableError: those of
                :func:`mastostream.database.connect`.
        """
        self._path = path
        self._connection = connect(path, _SCHEMA, _VERSION)

    def write(self, documents: Sequence[Document]) -> Sequence[Refusal]:
        rows: list[tuple[Any, ...]] = []
        refusals: list[Refusal] = []
        for position, document in enumerate(documents):
            try:
                rows.append(_row(document))
            except (ValueError, msgspec.MsgspecError, RecursionError) as error:
                refusals.append(Refusal(position, str(error)))
        with translated(self._path), transaction(self._connection):
            self._connection.executemany(_UPSERT, rows)
        return refusals

    def identity(self, index_name: str) -> str:
        with translated(self._path), transaction(self._connection):
            self._connection.execute(
                "INSERT OR IGNORE INTO identities VALUES (?, ?)", (index_name, uuid4().hex[:12])
            )
            (identity,) = self._connection.execute(
                "SELECT identity FROM identities WHERE index_name = ?", (index_name,)
            ).fetchone()
        return str(identity)

    def close(self) -> None:
        self._connection.close()


def _row(document: Document) -> tuple[Any, ...]:
    """Return the row of a document.

    Raises:
        ValueError, msgspec.MsgspecError, RecursionError: the index can never store the document;
            the message says why.
    """
    if not document.id:
        raise ValueError("a document needs an id")
    if not -_MAX_INT <= document.version <= _MAX_INT:
        raise ValueError(f"the version {document.version} is no 64-bit number")
    if document.body is None:
        return (document.index_name, document.id, document.version, 1, None, None)
    members = _decode_members(document.body)
    created_ms = None if members.created_at is None else to_ms(members.created_at)
    text = document.body.decode()
    return (document.index_name, document.id, document.version, 0, text, created_ms)


class SqliteIndexReader:
    """A :class:`ports.index.IndexReader` on a file that others may be writing."""

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if it is missing.

        Raises:
            DamagedError, FatalError, RetriableError: those of
                :func:`mastostream.database.connect`.
        """
        self._path = path
        self._connection = connect(path, _SCHEMA, _VERSION)

    def summary(self, since: datetime, until: datetime, interval_s: int, most: int) -> Summary:
        span = (to_ms(since), to_ms(until))
        with translated(self._path):
            tally = _Tally(span, interval_s * 1000)
            best = heapq.nsmallest(
                most,
                map(tally.add, self._records(ENGAGEMENT, span, _decode_engagement)),
                key=lambda post: (-post.engagement_score, post.key),
            )
            tags = self._count_hashtags(span)
        return Summary(
            since=since,
            volume=tuple((from_ms(start), count) for start, count in tally.volume.items()),
            posts=tally.posts,
            accounts=len(tally.accounts),
            average_engagement=tally.total_score / tally.posts if tally.posts else 0.0,
            max_engagement=best[0].engagement_score if best else 0,
            languages=_ranked(tally.languages, most),
            hashtags=_ranked(tags, most),
            top_posts=tuple(
                TopPost(
                    key=post.key,
                    account=post.account,
                    url=post.url,
                    content=post.content,
                    language=post.language,
                    created_at=post.created_at,
                    engagement_score=post.engagement_score,
                )
                for post in best
            ),
        )

    def close(self) -> None:
        self._connection.close()

    def _records(
        self, index_name: str, span: tuple[int, int], decode: Callable[[str], _T]
    ) -> Iterator[_T]:
        """Return the records of posts created in the span, and leave out malformed documents.

        Args:
            index_name: the index of the documents.
            span: start (inclusive) and end (exclusive), milliseconds since the epoch.
            decode: turns the JSON of a document into a record.
        """
        rows: sqlite3.Cursor = self._connection.execute(
            "SELECT body FROM documents WHERE index_name = ? AND deleted = 0 "
            "AND created_ms >= ? AND created_ms < ?",
            (index_name, *span),
        )
        for (body,) in rows:
            try:
                yield decode(body)
            except msgspec.ValidationError:
                continue

    def _count_hashtags(self, span: tuple[int, int]) -> Counter[str]:
        uses: Counter[str] = Counter()
        for record in self._records(HASHTAGS, span, _decode_hashtags):
            for tag, count in zip(record.hashtags, record.hashtag_counts, strict=False):
                uses[tag] += count
        return uses


class _Tally:
    """Sums over posts, which are passed through :meth:`add` one by one.

    Attributes:
        posts: number of posts.
        total_score: sum of their engagement scores.
        accounts: accounts that wrote them.
        languages: primary subtag of the language to its number of posts.
        volume: start of each interval, milliseconds since the epoch, to its number of posts.
    """

    def __init__(self, span: tuple[int, int], interval_ms: int) -> None:
        self.posts = 0
        self.total_score = 0
        self.accounts: set[str] = set()
        self.languages: Counter[str] = Counter()
        first = span[0] - span[0] % interval_ms
        self.volume = dict.fromkeys(range(first, span[1], interval_ms), 0)
        self._interval_ms = interval_ms

    def add(self, post: _Engagement) -> _Engagement:
        """Count the post and return it."""
        self.posts += 1
        self.total_score += post.engagement_score
        self.accounts.add(post.account)
        self.languages[primary_subtag(post.language)] += 1
        created_ms = to_ms(post.created_at)
        self.volume[created_ms - created_ms % self._interval_ms] += 1
        return post


def _ranked(counts: Counter[str], most: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])
