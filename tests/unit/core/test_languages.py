"""Languages are tags of BCP 47, in whatever spelling a server sends them."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Post
from mastostream.core.analyses import language_analysis
from mastostream.core.languages import (
    UNDETERMINED,
    in_languages,
    language_range,
    language_ranges,
    language_tag,
    primary_language,
    primary_subtag,
    stated_language,
)

# RFC 5646, appendix A: all that is well formed, in the canonical case of section 2.1.1.
EXAMPLES = [
    "de",
    "fr",
    "ja",
    "zh-Hant",
    "zh-Hans",
    "sr-Cyrl",
    "sr-Latn",
    "zh-cmn-Hans-CN",
    "cmn-Hans-CN",
    "zh-yue-HK",
    "yue-HK",
    "zh-Hans-CN",
    "sr-Latn-RS",
    "sl-rozaj",
    "sl-rozaj-biske",
    "sl-nedis",
    "de-CH-1901",
    "sl-IT-nedis",
    "hy-Latn-IT-arevela",
    "de-DE",
    "en-US",
    "es-419",
    "de-Qaaa",
    "sr-Latn-QM",
    "sr-Qaaa-RS",
    "mn-Cyrl-MN",
]
# The same, with extensions and private subtags, which name no language.
LONGER = {
    "de-CH-x-phonebk": "de-CH",
    "az-Arab-x-AZE-derbend": "az-Arab",
    "qaa-Qaaa-QM-x-southern": "qaa-Qaaa-QM",
    "en-US-u-islamcal": "en-US",
    "zh-CN-a-myext-x-private": "zh-CN",
    "en-a-myext-b-another": "en",
    "en-CA-x-ca": "en-CA",
    "az-Latn-x-latn": "az-Latn",
}
# What servers send.
SENT = {
    "zh-YUE": "zh-yue",
    "PT_br": "pt-BR",
    "pt_BR": "pt-BR",
    " en ": "en",
    "\ten\n": "en",
    "EN-us": "en-US",
    "zh_hant_tw": "zh-Hant-TW",
    "nb-NO": "nb-NO",
    "mul": "mul",
    "zxx": "zxx",
    "und": "und",
    "en-": "en",
    "pt--BR": "pt",
    "pt-BR,en": "pt",
    "de-419-DE": "de-419",  # two regions: not well formed
    "en US": "en",
}
UNUSABLE = (
    "",
    " ",
    "-",
    "_",
    "*",
    "x-default",
    "i-klingon",
    "a-DE",
    "null",
    "English",
    "en,fr",
    "en\u200b",
    "\x00en",
    "pt\u2011BR",
    "日本語",
    "\u0130T",
    "ſr",
    "<b>en</b>",
)
TAGS = st.sampled_from(EXAMPLES) | st.from_regex(
    r"\A[a-zA-Z]{2,3}([-_][a-zA-Z]{4})?([-_]([a-zA-Z]{2}|[0-9]{3}))?([-_][a-z0-9]{5,8}){0,2}\Z"
)
TEXTS = TAGS | st.sampled_from([*SENT, *LONGER, *UNUSABLE]) | st.text(max_size=12)


def post(language: str | None) -> Post:
    created_at = datetime(2024, 1, 1, tzinfo=UTC)
    return Post(id="1", created_at=created_at, account=Account(acct="a"), language=language)


@pytest.mark.parametrize("tag", EXAMPLES)
def test_the_examples_of_the_standard_are_canonical_in_any_spelling(tag: str) -> None:
    for spelled in (tag, tag.upper(), tag.lower(), tag.replace("-", "_"), f"  {tag} "):
        assert language_tag(spelled) == language_range(spelled) == tag


@pytest.mark.parametrize(("sent", "tag"), [*LONGER.items(), *SENT.items()])
def test_what_servers_send_has_one_spelling(sent: str, tag: str) -> None:
    assert language_tag(sent) == tag
    assert primary_subtag(sent) == tag.partition("-")[0]


@pytest.mark.parametrize("sent", [*UNUSABLE, None])
def test_what_names_no_language_is_undetermined(sent: str | None) -> None:
    assert language_tag(sent) == primary_subtag(sent) == UNDETERMINED
    assert stated_language(post(sent)) is None


@pytest.mark.parametrize("sign", ["a", " ", "-", "a-", "aa-", "abcde-", " a"])
def test_a_long_text_takes_little_time(sign: str) -> None:
    """A text of 5 MB would take hours, if the time were more than linear."""
    language_tag(sign * (5_000_000 // len(sign)))
    language_tag(f"en-{sign * (5_000_000 // len(sign))}")


@given(TEXTS)
def test_a_canonical_tag_is_its_own_canonical_tag_and_short(text: str) -> None:
    tag = language_tag(text)
    assert language_tag(tag) == language_range(tag) == tag
    assert re.fullmatch(r"[A-Za-z0-9-]{2,51}", tag)
    assert tag == language_tag(text.replace("-", "_")) == language_tag(f" {text}\n")


@given(TEXTS)
def test_windows_group_by_the_subtag_that_the_sql_files_extract(text: str) -> None:
    found = re.search(r"^\s*([A-Za-z]{2,3})(?![^-_\s])", text, re.ASCII)
    assert primary_language(post(text)) == (found[1].lower() if found else "und")


# RFC 4647, section 3.3.1.
@pytest.mark.parametrize(
    ("wanted", "language", "found"),
    [
        ("de-de", "de-DE-1996", True),
        ("de-de", "de-Deva", False),
        ("de-de", "de-Latn-DE", False),
        ("pt", "pt-BR", True),
        ("pt", "pt", True),
        ("pt-BR", "pt_br", True),
        ("PT_br", "pt-BR", True),
        ("pt-BR", "pt", False),
        ("pt-BR", "pt-PT", False),
        ("zh-Hant", "zh-Hant-TW", True),
        ("zh-Hant", "zh-TW", False),
        ("sr-Latn", "sr-Latn", True),
        ("sr-Latn", "sr", False),
        ("zh-YUE", "zh-yue", True),
        ("zh-YUE", "zh-yue-HK", True),
        ("zh", "zh-YUE", True),
        ("zh-YUE", "zh", False),
        ("und", None, True),
        ("und", "日本語", True),
        ("und", "en", False),
        ("en", None, False),
    ],
)
def test_a_language_finds_itself_and_what_is_more_special(
    wanted: str, language: str | None, found: bool
) -> None:
    some = post(language)
    assert in_languages(some, language_ranges([wanted])) is (some if found else None)


def test_the_analysis_filters_so() -> None:
    function = language_analysis(["PT_br", "zh"]).function
    assert function is not None
    passed = [tag for tag in ("pt-BR", "pt", "zh-YUE", "en") if function(post(tag))]
    assert passed == ["pt-BR", "zh-YUE"]
    with pytest.raises(ValueError, match="'English' is no language"):
        language_analysis(["English"])


@given(TEXTS, st.lists(TAGS, max_size=4))
def test_a_post_is_found_exactly_if_a_language_begins_its_tag(text: str, wanted: list[str]) -> None:
    ranges = language_ranges(wanted)
    tag = language_tag(text)
    begins = any(tag == one or tag.startswith(f"{one}-") for one in ranges)
    assert (in_languages(post(text), ranges) is not None) == begins


@pytest.mark.parametrize("text", [*UNUSABLE, *LONGER, "en-", "pt-BR,en", "en US", "de-419-DE"])
def test_what_is_no_tag_cannot_be_asked_for(text: str) -> None:
    with pytest.raises(ValueError, match="expected a tag of BCP 47, such as en, pt-BR or zh-Hant"):
        language_range(text)
