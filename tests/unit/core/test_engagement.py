"""The engagement score."""

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, EngagementWeights, Post, engagement_record, engagement_score
from mastostream.testing.strategies import posts

WEIGHTS = st.builds(
    EngagementWeights,
    favourites=st.integers(0, 2**20),
    reblogs=st.integers(0, 2**20),
    replies=st.integers(0, 2**20),
    quotes=st.integers(0, 2**20),
)
COUNTS = ("favourites_count", "reblogs_count", "replies_count", "quotes_count")


@given(posts(), WEIGHTS)
def test_a_score_fits_into_64_bits_and_is_not_negative(
    post: Post, weights: EngagementWeights
) -> None:
    assert 0 <= engagement_score(post, weights) < 2**63


@given(posts(), WEIGHTS, st.sampled_from(COUNTS), st.integers(0, 1000))
def test_a_score_does_not_fall_when_a_count_rises(
    post: Post, weights: EngagementWeights, count: str, more: int
) -> None:
    risen = attrs.evolve(post, **{count: min(2**40, getattr(post, count) + more)})
    assert engagement_score(risen, weights) >= engagement_score(post, weights)


@given(posts(), st.integers(0, 1000), st.integers(0, 1000))
def test_a_score_is_linear_in_the_weights(post: Post, left: int, right: int) -> None:
    def score(weight: int) -> int:
        weights = EngagementWeights(
            favourites=weight, reblogs=weight, replies=weight, quotes=weight
        )
        return engagement_score(post, weights)

    assert score(left) + score(right) == score(left + right)


def test_the_default_weights() -> None:
    post = Post(
        id="1",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        account=Account(acct="a"),
        favourites_count=1,
        reblogs_count=10,
        replies_count=100,
        quotes_count=1000,
    )
    assert engagement_score(post) == 1 + 20 + 300 + 2000


@pytest.mark.parametrize("weight", [-1, 2**20 + 1, 1.5, True])
def test_a_weight_is_a_whole_number_within_bounds(weight: object) -> None:
    with pytest.raises(ValueError, match="whole weight"):
        EngagementWeights(replies=weight)  # type: ignore[arg-type]  # the point of the test


@given(posts())
def test_a_record_carries_the_posts_key_version_and_score(post: Post) -> None:
    record = engagement_record(post)
    assert (record.key, record.observed_at) == (post.key, post.observed_at)
    assert record.engagement_score == engagement_score(post)
