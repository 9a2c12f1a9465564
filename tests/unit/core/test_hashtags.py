"""Hashtags: spelling, counting, merging."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import (
    Account,
    HashtagCount,
    Post,
    Tag,
    hashtag_counts,
    hashtag_record,
    merge_hashtag_counts,
    normalize_hashtag,
)
from mastostream.core.hashtags import _TAGS_OR_USES, _shown_hashtags
from mastostream.testing.strategies import posts

FOLDER = Path(__file__).parent
COUNTS = st.lists(
    st.builds(HashtagCount, tag=st.sampled_from("abcd"), count=st.integers(1, 9)),
    unique_by=lambda count: count.tag,
).map(tuple)


def post(content: str, *tags: str) -> Post:
    return Post(
        id="1",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        account=Account(acct="a"),
        content=content,
        tags=tuple(Tag(name=tag) for tag in tags),
    )


def counted(content: str, *tags: str) -> dict[str, int]:
    return {item.tag: item.count for item in hashtag_counts(post(content, *tags))}


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("#Café", "cafe"),
        ("straße", "straße"),
        ("İstanbul", "istanbul"),
        ("ＮＥＷＳ", "news"),
        ("C++", "c"),
        ("foo-bar", "foobar"),
        ("новости", "новости"),
        ("日本語", "日本語"),
        ("हिंदी", "हिंदी"),
        ("a·b_c", "a·b_c"),
        ("😀", ""),
        ("Łódź", "lodz"),
    ],
)
def test_names_are_spelled_as_mastodon_does(name: str, normalised: str) -> None:
    assert normalize_hashtag(name) == normalised


def test_words_are_spelled_as_mastodon_s_own_rule_spells_them_in_ruby() -> None:
    """The right spellings were computed with Ruby, by the code of Mastodon 4.5."""
    words = json.loads((FOLDER / "hashtag_words.json").read_bytes())
    assert len(words) > 90
    assert [normalize_hashtag(word) for word, _ in words] == [spelling for _, spelling in words]


def test_every_code_point_becomes_what_mastodon_s_own_rule_makes_of_it_in_ruby() -> None:
    """The file says what becomes of each character between ``a`` and ``b``."""
    spellings = json.loads((FOLDER / "hashtag_codepoints.json").read_bytes())
    right = dict.fromkeys(code_points(spellings["removed"]), "")
    right |= {code: chr(code) for code in code_points(spellings["kept"])}
    right |= {int(code, 16): becomes for code, becomes in spellings["becomes"].items()}
    assert len(right) == 144_762
    different = {
        hex(code): spelling
        for code, becomes in right.items()
        if (spelling := normalize_hashtag(f"a{chr(code)}b")[1:-1]) != becomes
    }
    assert not different


def code_points(ranges: list[str]) -> Iterator[int]:
    for entry in ranges:
        first, _, last = entry.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


@given(st.text())
def test_spelling_twice_changes_nothing(name: str) -> None:
    assert normalize_hashtag(normalize_hashtag(name)) == normalize_hashtag(name)


def test_uses_are_counted_in_the_text_and_at_least_one() -> None:
    content = (
        '<p>#<a href="https://x.example/tags/news#news">#<span>News</span></a> and #news, '
        "&#39; #NEWS.</p>"
    )
    assert counted(content, "news", "39", "other") == {"news": 3, "39": 1, "other": 1}


def test_a_tag_that_becomes_empty_is_left_out_and_the_order_is_kept() -> None:
    assert list(counted("", "b", "😀", "a", "B")) == ["b", "a"]


def test_a_hostile_text_takes_no_time() -> None:
    for content in ("<" * 300_000, "#" * 300_000, "<a" * 200_000, "#<span" * 100_000):
        hashtag_counts(post(content, "a"))


@given(posts())
def test_each_tag_has_one_entry_with_a_count(some: Post) -> None:
    counts = hashtag_counts(some)
    assert len({item.tag for item in counts}) == len(counts)
    assert hashtag_record(some).hashtags == tuple(item.tag for item in counts)


@given(COUNTS, COUNTS, COUNTS)
def test_merging_is_associative_and_commutative_with_an_identity(
    a: tuple[HashtagCount, ...], b: tuple[HashtagCount, ...], c: tuple[HashtagCount, ...]
) -> None:
    merge = merge_hashtag_counts
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, ()) == a == merge((), a)


PIECES = st.sampled_from(
    [
        "<",
        ">",
        "#",
        "&",
        "/",
        " ",
        "a",
        "\uff03",
        "<span>",
        "<a href='x#y'>",
        "</a>",
        "&#39;",
        "\u00e9",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_going_from_sign_to_sign_finds_what_stepping_over_tags_finds(content: str) -> None:
    assert _shown_hashtags(content) == [name for name in _TAGS_OR_USES.findall(content) if name]
