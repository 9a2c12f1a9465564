"""The indices and their fields: what a search engine is told, and what a dashboard may ask for."""

from collections.abc import Mapping
from typing import Final, Literal

import attrs

from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS

__all__ = ["INDEXED_AT", "INDICES", "FieldType", "Index"]

FieldType = Literal["keyword", "text", "date", "long", "boolean"]
"""``keyword`` is compared, counted and sorted as a whole; ``text`` is searched by its words."""

INDEXED_AT: Final = "indexed_at"
"""When a document was written to the index; the index's own, no record has it."""


@attrs.frozen(kw_only=True)
class Index:
    """One index: documents are the records of the topic of the same name.

    Attributes:
        name: of the index, and of the topic.
        time_field: what a dashboard's time filter asks for.
        fields: name to type: one for each member of the record, and :data:`INDEXED_AT`.
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
"""The indices of the per-post analyses that come with the package."""
