"""The function that SQL files call for the hashtags of posts: ``hashtag_uses``.

Flink calls it with columns (a vectorised function), and once for each version of a post.
"""

from collections.abc import Iterable
from typing import Final

import pandas as pd
from pyflink.table import DataTypes
from pyflink.table.udf import udf

from mastostream.engines.flink.hashtag_text import uses_of

__all__ = ["hashtag_uses"]


def _columns(contents: Iterable[str | None], tags: Iterable[str | None]) -> "pd.Series[str]":
    return pd.Series([uses_of(*post) for post in zip(contents, tags, strict=True)], dtype=object)


hashtag_uses: Final = udf(_columns, result_type=DataTypes.STRING(), func_type="pandas")
