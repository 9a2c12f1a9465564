"""The uses of a post's hashtags as a text, in which SQL keeps them.

This module does not import Flink.
"""

from typing import Final

import msgspec

from mastostream.core.codec import decode
from mastostream.core.hashtags import hashtag_counts
from mastostream.core.models import Post

__all__ = ["uses_of"]

_encode: Final = msgspec.json.Encoder().encode


def uses_of(content: str | None, tags: str | None) -> str:
    """Return the uses of each hashtag in a post: ``news=2 python=1``; empty for none.

    Args:
        content: the text as HTML.
        tags: the hashtags that the server lists, as JSON: ``[{"name": "news"}]``.
    """
    if not tags or tags == "[]":
        return ""
    members = {
        "id": "-",
        "created_at": "1970-01-01T00:00:00Z",
        "account": {"acct": "-"},
        "content": content or "",
        "tags": msgspec.Raw(tags.encode()),
    }
    post = decode(_encode(members))
    if not isinstance(post, Post):
        return ""
    return " ".join(f"{item.tag}={item.count}" for item in hashtag_counts(post))
