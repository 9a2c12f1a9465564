"""The uses of a post's hashtags as a text for SQL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Post, encode, hashtag_counts
from mastostream.engines.flink.hashtag_text import uses_of
from mastostream.testing.strategies import posts


@given(posts())
def test_it_says_what_the_core_says(post: Post) -> None:
    uses = uses_of(post.content, encode(post.tags).decode())
    assert [tuple(pair.split("=")) for pair in uses.split()] == [
        (item.tag, str(item.count)) for item in hashtag_counts(post)
    ]


@given(st.none() | st.text(), st.none() | st.text())
def test_it_never_raises(content: str | None, tags: str | None) -> None:
    assert isinstance(uses_of(content, tags), str)


@pytest.mark.parametrize("tags", [None, "", "[]", "{}", "null", '[{"name": 5}]', "["])
def test_what_is_no_list_of_hashtags_has_no_uses(tags: str | None) -> None:
    assert uses_of("<p>#news</p>", tags) == ""
