"""What a type checker sees of the public names; checked by mypy, and runs as well."""

from typing import assert_type

from mastostream import (
    Analysis,
    Deletion,
    EngagementRecord,
    HashtagCount,
    Post,
    Rejected,
    decode,
    encode,
    engagement_record,
    engagement_score,
    hashtag_counts,
    merge_hashtag_counts,
    plain_text,
)


def check(post: Post) -> None:
    assert_type(decode(b""), Post | Deletion | Rejected)
    assert_type(encode(post), bytes)
    assert_type(engagement_score(post), int)
    assert_type(engagement_record(post), EngagementRecord)
    assert_type(hashtag_counts(post), tuple[HashtagCount, ...])
    assert_type(merge_hashtag_counts((), ()), tuple[HashtagCount, ...])
    assert_type(plain_text(post.content), str)
    assert_type(Analysis(name="a", function=engagement_record), Analysis)
