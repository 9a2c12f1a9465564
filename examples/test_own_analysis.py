"""Properties of one's own analysis, without a server: ``pytest test_own_analysis.py``.

Needs ``pip install 'mastostream[testing]' pytest``.
"""

from hypothesis import given
from own_analysis import question

from mastostream import Post, plain_text
from mastostream.testing.strategies import posts


@given(posts())
def test_a_record_is_made_exactly_for_questions(post: Post) -> None:
    record = question(post)
    assert (record is not None) == ("?" in plain_text(post.content))
    assert record is None or record["key"] == post.key
