"""Reads the indices in Elasticsearch: the figures of a dashboard."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from mastostream.config import ElasticsearchSettings
from mastostream.core.languages import UNDETERMINED, primary_subtag
from mastostream.core.time import from_ms, to_ms
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.ports.index import Summary, TopPost
from mastostream.sinks.elasticsearch.cluster_connection import address, connect
from mastostream.sinks.elasticsearch.errors import translated

__all__ = ["ElasticsearchIndexReader"]

MOST_LANGUAGES: Final = 1_000
"""How many language tags the server counts. Tags such as ``en`` and ``en-GB`` are added up here."""

PRECISION: Final = 40_000
"""Up to this number of accounts their count is nearly exact. It is the highest
``precision_threshold`` that Elasticsearch accepts."""

_SOURCE: Final = (
    "key",
    "account",
    "url",
    "content",
    "language",
    "created_at",
    "engagement_score",
)


class _StoredPost(msgspec.Struct):
    """The members of an engagement document that a summary shows."""

    key: str
    account: str
    created_at: datetime
    engagement_score: int
    url: str | None = None
    content: str = ""
    language: str | None = None


class ElasticsearchIndexReader:
    """A :class:`ports.index.IndexReader` on Elasticsearch.

    It sees the documents that were indexed before the last refresh. Two figures differ from those
    of the SQLite index. A hashtag's figure is the number of posts that use it, not of its uses,
    because Elasticsearch cannot add up one list by the values of another. And the number of
    accounts is an estimate if there are many.
    """

    def __init__(self, settings: ElasticsearchSettings, secrets: Mapping[str, str]) -> None:
        """Create the client, without sending a request.

        Args:
            settings: the server and the prefix of its indices.
            secrets: the values of :data:`cluster_connection.SECRETS` that are set.

        Raises:
            ConfigurationError: the settings cannot be used.
        """
        self._where = address(settings)
        self._engagement = settings.index_prefix + ENGAGEMENT
        self._hashtags = settings.index_prefix + HASHTAGS
        self._client = connect(settings, secrets)

    def summary(self, since: datetime, until: datetime, interval_s: int, most: int) -> Summary:
        """Sum up the posts created in ``[since, until)``, at most ``most`` names of each kind.

        Raises:
            RetriableError: the server cannot answer now, or there is no index yet.
            ConfigurationError: wrong credentials, privileges or certificates.
        """
        span = (to_ms(since), to_ms(until))
        created = {"gte": span[0], "lt": span[1], "format": "epoch_millis"}
        in_span = {"range": {"created_at": created}}
        with translated(self._where):
            posts = self._client.search(
                index=self._engagement,
                query={"bool": {"filter": [in_span, {"exists": {"field": "engagement_score"}}]}},
                size=max(most, 1),
                sort=[{"engagement_score": "desc"}, {"key": "asc"}],
                source_includes=_SOURCE,
                track_total_hits=True,
                allow_partial_search_results=False,
                aggregations=_aggregations(interval_s),
            )
            tags = self._client.search(
                index=self._hashtags,
                query=in_span,
                size=0,
                allow_partial_search_results=False,
                aggregations={"hashtags": _terms("hashtags", most)},
            )
        counts = posts["aggregations"]
        top = [post for hit in posts["hits"]["hits"] if (post := _top_post(hit["_source"]))]
        return Summary(
            since=since,
            volume=_volume(counts["volume"]["buckets"], span, interval_s * 1_000),
            posts=posts["hits"]["total"]["value"],
            accounts=counts["accounts"]["value"],
            average_engagement=counts["average"]["value"] or 0.0,
            max_engagement=top[0].engagement_score if top else 0,
            languages=_languages(counts["languages"]["buckets"], most),
            hashtags=tuple(
                (bucket["key"], bucket["doc_count"])
                for bucket in tags["aggregations"]["hashtags"]["buckets"]
            ),
            top_posts=tuple(top[:most]),
        )

    def close(self) -> None:
        self._client.close()


def _aggregations(interval_s: int) -> dict[str, Any]:
    return {
        "volume": {
            "date_histogram": {
                "field": "created_at",
                "fixed_interval": f"{interval_s}s",
                "min_doc_count": 1,
            }
        },
        "accounts": {"cardinality": {"field": "account", "precision_threshold": PRECISION}},
        "average": {"avg": {"field": "engagement_score"}},
        "languages": _terms("language", MOST_LANGUAGES, missing=UNDETERMINED),
    }


def _terms(field: str, size: int, **more: str) -> dict[str, Any]:
    order = [{"_count": "desc"}, {"_key": "asc"}]
    return {"terms": {"field": field, "size": size, "order": order, **more}}


def _volume(
    buckets: list[dict[str, int]], span: tuple[int, int], interval_ms: int
) -> tuple[tuple[datetime, int], ...]:
    """Return the posts of every interval in the span, also of those without a post."""
    first = span[0] - span[0] % interval_ms
    volume = dict.fromkeys(range(first, span[1], interval_ms), 0)
    volume.update((bucket["key"], bucket["doc_count"]) for bucket in buckets)
    return tuple((from_ms(start), count) for start, count in volume.items())


def _languages(buckets: list[dict[str, Any]], most: int) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for bucket in buckets:
        counts[primary_subtag(bucket["key"])] += bucket["doc_count"]
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])


def _top_post(source: object) -> TopPost | None:
    """Return the post, or ``None`` for a document of another program that lacks its members."""
    try:
        stored = msgspec.convert(source, _StoredPost)
    except msgspec.ValidationError:
        return None
    return TopPost(
        key=stored.key,
        account=stored.account,
        url=stored.url,
        content=stored.content,
        language=stored.language,
        created_at=stored.created_at,
        engagement_score=stored.engagement_score,
    )
