"""The indices and the types of their fields, for Elasticsearch and for the dashboards."""

from collections.abc import Mapping
from typing import Final, Literal

import attrs

from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS

__all__ = ["INDEXED_AT", "INDICES", "FieldType", "Index"]

FieldType = Literal["keyword", "text", "date", "long", "boolean"]
"""Type of a field, by Elasticsearch's names. The value of a ``keyword`` is compared, counted and
sorted as a whole; ``text`` is searched by its words."""

INDEXED_AT: Final = "indexed_at"
"""Name of the field with the time at which a document was written to the index. The index adds it:
records do not have it."""


@attrs.frozen(kw_only=True)
class Index:
    """One index. Its documents are the records of the topic of the same name.

    Attributes:
        name: name of the index and of the topic, without a prefix.
        time_field: the field of type ``date`` that a dashboard's time filter uses.
        fields: name to type: one field for each member of the record, and :data:`INDEXED_AT`.
    """

    name: str
    time_field: str
    fields: Mapping[str, FieldType]


_COMMON: Final[dict[str, FieldType]] = {
    "key": "keyword",
    "observed_at": "date",
    "id": "keyword",
    "instance": "keyword",
    "account": "keyword",
    "language": "keyword",
    "created_at": "date",
    INDEXED_AT: "date",
}

INDICES: Final = (
    Index(
        name=ENGAGEMENT,
        time_field="created_at",
        fields=_COMMON
        | {
            "uri": "keyword",
            "url": "keyword",
            "display_name": "text",
            "bot": "boolean",
            "edited_at": "date",
            "content": "text",
            "favourites_count": "long",
            "reblogs_count": "long",
            "replies_count": "long",
            "quotes_count": "long",
            "engagement_score": "long",
        },
    ),
    Index(
        name=HASHTAGS,
        time_field="created_at",
        fields=_COMMON | {"hashtags": "keyword", "hashtag_counts": "long"},
    ),
)
"""The indices of the analyses of single posts that come with the package."""
