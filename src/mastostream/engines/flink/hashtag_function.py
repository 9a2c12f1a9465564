"""The function that SQL files call for the hashtags of posts: ``hashtag_uses``.

Flink calls it with columns (a vectorised function), and once for each version of a post.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import pandas as pd
from pyflink.table import DataTypes
from pyflink.table.udf import udf

from mastostream.core.codec import decode
from mastostream.core.hashtags import hashtag_counts
from mastostream.core.models import Post

__all__ = ["hashtag_uses", "uses_of"]

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
        "account": {"acct": ""},
        "content": content or "",
        "tags": msgspec.Raw(tags.encode()),
    }
    post = decode(_encode(members))
    if not isinstance(post, Post):
        return ""
    return " ".join(f"{item.tag}={item.count}" for item in hashtag_counts(post))


def _columns(contents: Iterable[str | None], tags: Iterable[str | None]) -> "pd.Series[str]":
    return pd.Series([uses_of(*post) for post in zip(contents, tags, strict=True)], dtype=object)


hashtag_uses: Final = udf(_columns, result_type=DataTypes.STRING(), func_type="pandas")
