"""The strategies make posts as servers show them, whose hashtags are those of the text."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from mastostream import Post, decode
from mastostream.core.hashtags import normalize_hashtag
from mastostream.testing import markup
from mastostream.testing.strategies import hashtag_names, posts, stamps, statuses

# A hashtag of a generated text begins where a word begins, and ends where white space does.
HASHTAG = re.compile(r"(?<!\S)#(\S+)")
NO_SHRINKING = settings(phases=[Phase.generate], max_examples=2_000, database=None)
BOTH = posts().flatmap(lambda post: st.tuples(st.just(post), statuses(st.just(post))))


class Reader(HTMLParser):
    """Reads a text as a person sees it: a new line or paragraph is white space, markup is not."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.text += "\n" if tag in ("br", "p") else ""

    def handle_endtag(self, tag: str) -> None:
        self.text += "\n" if tag == "p" else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def shown_hashtags(html: str) -> list[str]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return [normalize_hashtag(name) for name in HASHTAG.findall(reader.text)]


@given(posts())
def test_the_hashtags_that_are_listed_are_those_of_the_text(post: Post) -> None:
    listed = [normalize_hashtag(tag.name) for tag in post.tags]
    assert "" not in listed
    assert len(set(listed)) == len(listed)
    assert set(shown_hashtags(post.content)) == set(listed)


@given(st.sampled_from(markup.FAMILIES), hashtag_names())
def test_every_family_shows_the_hashtag_and_nothing_else(family: markup.Family, name: str) -> None:
    html = markup.hashtag(family, "a.example", name)
    assert shown_hashtags(html) == [normalize_hashtag(name)]
    assert normalize_hashtag(markup.listed_name(family, name)) == normalize_hashtag(name)


def test_a_text_may_use_a_hashtag_twice_in_two_spellings() -> None:
    def twice(post: Post) -> bool:
        shown = shown_hashtags(post.content)
        return len(shown) > len(set(shown))

    assert find(posts(), twice, settings=NO_SHRINKING).tags


@pytest.mark.parametrize(
    "sign",
    [
        'class="u-url mention"',
        "RE: ",
        'class="invisible"',
        "#<a ",  # Friendica
        'rel="tag ugc"',  # Pleroma
        'rel="tag nofollow noreferrer noopener"',  # GoToSocial
        "<br />",
        "日本",
    ],
)
def test_there_are_texts_with(sign: str) -> None:
    assert find(posts(), lambda post: sign in post.content, settings=NO_SHRINKING)


@given(BOTH)
def test_a_status_or_a_boost_of_it_is_the_post(both: tuple[Post, bytes]) -> None:
    post, status = both
    assert decode(status) == post


@given(posts())
def test_times_and_names_are_consistent(post: Post) -> None:
    assert post.edited_at is None or post.edited_at >= post.created_at
    assert post.event != "edit" or post.edited_at is not None
    assert post.observed_at >= (post.edited_at or post.created_at) or post.mastostream is None
    local = post.account.url is not None and post.account.url.startswith(
        f"https://{post.instance}/@"
    )
    assert post.account.url is None or ("@" not in post.account.acct) == local


@given(
    posts(
        created_at=st.just(datetime(2024, 1, 1, tzinfo=UTC)),
        stamp=stamps(observed_at=st.just(datetime(2024, 1, 2, tzinfo=UTC))),
    )
)
def test_times_and_stamps_can_be_chosen(post: Post) -> None:
    assert post.created_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert post.observed_at == datetime(2024, 1, 2, tzinfo=UTC)
