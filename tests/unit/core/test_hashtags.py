"""Hashtags: spelling, counting, merging."""

import html
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from mastostream import (
    Account,
    HashtagCount,
    Post,
    Tag,
    decode,
    hashtag_counts,
    hashtag_record,
    merge_hashtag_counts,
    normalize_hashtag,
    plain_text,
)
from mastostream.core.hashtags import hashtag_uses, hashtags_in
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


@pytest.mark.parametrize(
    ("content", "uses"),
    [
        # Mastodon, Pleroma, Misskey, WordPress
        ('<p><a href="https://a.example/tags/cats" rel="tag">#<span>cats</span></a></p>', ["cats"]),
        (
            '<a class="hashtag" data-tag="cats" href="https://a.example/tag/cats">#Cats</a>',
            ["cats"],
        ),
        ('<p><a href="https://a.example/tags/cats" rel="tag">#cats</a>!</p>', ["cats"]),
        # Friendica, Hubzilla
        ('<p>#<a href="https://a.example/search?tag=cats"><span>cats</span></a></p>', ["cats"]),
        ('<p>#<a class="zrl" href="https://a.example/search?tag=cats">cats</a></p>', ["cats"]),
        ("<p>#<strong>cats</strong> and <em>#</em>dogs</p>", ["cats", "dogs"]),
        ("<p>#cats</p><p>#dogs<br>#birds</p>", ["cats", "dogs", "birds"]),
        ("#cats&#39;s #cats’s “#cats” (#cats), #cats-and-#dogs", [*["cats"] * 5, "dogs"]),
        ("#vue.js #c++ #c# #20% #3d #2024 #１２ #_ #__ #___", ["vue", "c", "c", "3d", "___"]),
        ("#猫、犬 #猫・犬 ＃猫。#犬 は#猫", ["猫", "猫・犬", "猫", "犬"]),
        ("#one·two· #·three #سلام&zwnj;علیکم", ["one·two", "سلام\u200cعلیکم"]),
        ("&#35;cats &num;dogs &#xFF03;birds &amp;#39;", ["cats", "dogs", "birds"]),
        ("a#b é#b 1#b /#b =#b )#b .#b _#b ##b", ["b"] * 3),
        ("#cats<!-- #dogs --><b title='#birds'> </b><script>#fish</script>", ["cats"]),
        ('<p class="quote-inline">RE: #cats</p><p>#dogs</p>', ["dogs"]),
        # The address of a page
        ("https://a.example/?q=a,#cats https://a.example/b(c,#cats)d,#cats?e=,#cats f", []),
        ("https://a.example/,#cats HTTPS://a.example?,#cats <a>gemini://a.example/.#cats</a>", []),
        ("https://a.example#cats https://a.example/#cats https://a.example/a.#cats", []),
        ("https://a.example/a,\u3000#cats (https://a.example/a),#dogs", ["cats", "dogs"]),
        ("https://a.example,#cats https://a.example、#dogs", ["cats", "dogs"]),
        ("ftp://b.example/,#cats //b.example/,#dogs", ["dogs"]),
        ("#catshttps://a.example #dogs:// #birds_http://a.example/a", ["cats", "dogs", "birds_"]),
        (
            '<a href="https://a.example"><span class="invisible">https://</span>a.ex/,#b</a> #c',
            ["c"],
        ),
    ],
)
def test_a_use_is_what_mastodon_finds_in_the_text_that_a_reader_sees(
    content: str, uses: list[str]
) -> None:
    assert hashtags_in(content) == uses


CONTENTS = st.lists(
    st.sampled_from(
        [
            *("#", "#", "#<span>", "</span>", "\uff03", "&#39;", "&#35;", "&num;", "&", "\0", " "),
            *("news", "new", "News", "k", "K", "x", "ht", "tp", "https", "://", ".", "\u0301", "é"),
            *(
                "</a>",
                "<br>",
                "<b>",
                "<a href='#news'>",
                "<!--",
                "-->",
                '<p class="quote-inline">',
                "</p>",
                "_",
            ),
        ]
    )
).map("".join)


@given(CONTENTS)
@example("#k\u0301 #K\u0301")
@example("#newshttps://a #news.")
@example("#newsht<b>tp</b>://a #news.")
def test_each_use_of_a_hashtag_counts_whatever_the_text_is(content: str) -> None:
    names = {*hashtags_in(content), "news", "new"} - {""}
    uses = hashtag_uses(content, names)
    assert uses == {name: hashtags_in(content).count(name) or 1 for name in names}


def test_a_hashtag_beside_the_text_counts_as_used_once_and_one_only_in_it_not_at_all() -> None:
    assert hashtag_uses("<p>#b #b #c</p>", ["a", "B"]) == {"a": 1, "b": 2}


WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
SEPARATORS = "_\u00b7\u30fb\u200c"
FIRST_SEQUENCE = (
    rf"(?:[{WORD}_][{WORD}{SEPARATORS}]*[\p{{Alphabetic}}{SEPARATORS}]"
    rf"[{WORD}{SEPARATORS}]*[{WORD}_])"
)
LAST_SEQUENCE = rf"(?:[{WORD}_]*[\p{{Alphabetic}}][{WORD}_]*)"
HASHTAG_RE = regex.compile(
    rf"(?<![=/)\p{{Alphabetic}}\p{{Nd}}])[#\uff03]({FIRST_SEQUENCE}|{LAST_SEQUENCE})"
)


def extracted(text: str) -> list[str]:
    """Return what Mastodon's ``Extractor.extract_hashtags`` returns for a text.

    ``HASHTAG_RE`` is that of ``app/models/tag.rb`` in Mastodon 4.5, with the classes that Ruby's
    ``[[:word:]]``, ``[[:alpha:]]`` and ``\\p{Alnum}`` stand for.
    """
    names = []
    for match in HASHTAG_RE.finditer(text):
        name = match[1]
        if text.startswith("://", match.end()) and (cut := regex.match(r"(.+)https?\Z", name)):
            name = cut[1]
        names.append(name)
    return names


SIGNS = "#\uff03##=/)(_·・\u200c .,'1２a\u00e9日は\u0301\u0e47\u20dd\u203f\u05b0\U0001f600"
HASHTAG_TEXTS = st.lists(
    st.sampled_from([*SIGNS, "http", "https", "://", "\n"]) | st.characters(codec="utf-8")
).map("".join)


@given(HASHTAG_TEXTS)
@example("#1https://")
@example("#ahttps·://")
@example("#a\u200c_ #·a #1·1 #1·")
def test_the_uses_are_those_that_mastodon_s_own_expression_finds(text: str) -> None:
    """In a text without addresses: of those, Mastodon takes hashtags away afterwards."""
    shown = plain_text(content := html.escape(text))
    if not regex.search(r"://[^\s/?]*[/?]", shown):
        assert hashtags_in(content) == [normalize_hashtag(name) for name in extracted(shown)]


def test_the_uses_in_real_statuses_are_those_that_mastodon_s_own_expression_finds(
    corpus: Sequence[bytes],
) -> None:
    some = [each for status in corpus if isinstance(each := decode(status), Post)]
    different = []
    for each in some:
        # Without addresses, and what follows them to the next white space.
        text = regex.sub(r"\w+://\S+", "", plain_text(each.content))
        if hashtags_in(html.escape(text)) != [normalize_hashtag(name) for name in extracted(text)]:
            different.append(text)
    assert not different, f"{len(different)} of {len(some)}, the first: {different[0]!r}"


def test_characters_are_words_letters_and_digits_as_unicode_says() -> None:
    """Told by hashtags that begin or end with the character, or have it before them or inside.

    Without NUL, which no text of HTML has, and marks that are letters since Unicode 16.
    """
    spellings = json.loads((FOLDER / "hashtag_codepoints.json").read_bytes())
    known = {*code_points(spellings["removed"]), *code_points(spellings["kept"])}
    known |= {int(code, 16) for code in spellings["becomes"]}
    known -= {0, *range(0x363, 0x370), *range(0x1DD3, 0x1DE7)}
    text = " ".join("#{0} #1{0} #1{0}1 #x{0}x {0}#a".format(chr(code)) for code in sorted(known))
    assert hashtags_in(html.escape(text)) == [normalize_hashtag(name) for name in extracted(text)]


@pytest.mark.parametrize(
    "content",
    [
        "<" * 300_000,
        "#" * 300_000,
        "<a" * 200_000,
        "#<span" * 100_000,
        "#<b>a</b>" * 100_000,
        "#" + "a·" * 200_000,
        "#a" + "·" * 300_000,
        "#1" + "\u0301" * 300_000,
        "#1·" * 100_000,
        "http://" * 100_000,
        "http://a/(" * 100_000,
        "http://a/" + "(" * 300_000,
        "http://" + "a" * 300_000,
        "http://a?" * 100_000,
        "#http://" * 100_000,
    ],
    ids=lambda content: content[:10],
)
def test_a_hostile_text_takes_no_time(content: str) -> None:
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
