"""One person is one account, whichever server shows the post."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Account, Post, Stamp, account_name, decode, encode, engagement_record
from mastostream.core.pseudonyms import pseudonymize
from mastostream.testing.strategies import posts

NOW = datetime(2024, 1, 1, tzinfo=UTC)
URI = "https://social.example.org/users/ana/statuses/1"
PAGE = "https://social.example.org/@ana"


def post(acct: str, uri: str = URI, url: str | None = PAGE, instance: str = "") -> Post:
    stamp = Stamp(key="k", instance=instance, observed_at=NOW) if instance else None
    account = Account(acct=acct, username="ana", url=url)
    return Post(id="1", created_at=NOW, account=account, uri=uri, mastostream=stamp)


# A server whose accounts are `name@example.org` and whose pages are on `social.example.org`.
AT_HOME = post("ana", instance="social.example.org")
ELSEWHERE = post("ana@example.org", instance="other.example")


def test_a_person_has_one_name_at_home_and_elsewhere() -> None:
    assert account_name(AT_HOME) == account_name(ELSEWHERE) == "ana@social.example.org"


def test_the_records_of_a_post_name_the_account_so() -> None:
    assert engagement_record(AT_HOME).account == engagement_record(ELSEWHERE).account
    assert engagement_record(AT_HOME).account == "ana@social.example.org"


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (post("Ana@Example.ORG", uri="https://SOCIAL.example.org/1"), "ana@social.example.org"),
        (post("ana", uri="http://a.example:3000/1"), "ana@a.example:3000"),
        (post("ana", uri="https://a.example"), "ana@a.example"),
        (post("ana", uri="https://xn--lofll-1sat.is/1"), "ana@xn--lofll-1sat.is"),
        # A `uri` of OStatus, none at all, one that is no web address: the author's page.
        (post("ana", uri="tag:example.org,2017-04-14:objectId=1"), "ana@social.example.org"),
        (post("ana", uri=""), "ana@social.example.org"),
        (post("ana", uri="at://did:plc:1/post/2"), "ana@social.example.org"),
        (post("ana", uri="https://user@a.example/1"), "ana@social.example.org"),
        (post("ana", uri=f"https://{'a' * 300}/1"), "ana@social.example.org"),
        # No page either: the account's own word, then the server that showed the post.
        (post("ana@b.example", uri="", url=None, instance="c.example"), "ana@b.example"),
        (post("ana", uri="", url="", instance="C.example"), "ana@c.example"),
        (post("ana", uri="", url=None), "ana"),
    ],
)
def test_a_name_comes_from_the_best_host_that_is_known(shown: Post, name: str) -> None:
    assert account_name(shown) == name


def test_two_people_of_one_name_are_two() -> None:
    other = post("ana", uri="https://b.example/1", instance="b.example")
    assert account_name(other) != account_name(AT_HOME)


def test_a_pseudonym_is_one_account_on_every_server() -> None:
    key = b"a key that nobody knows"
    stamps = (AT_HOME.mastostream, ELSEWHERE.mastostream)
    names = set()
    for shown, stamp in zip((AT_HOME, ELSEWHERE), stamps, strict=True):
        assert stamp is not None
        hidden = decode(pseudonymize(encode(shown), key, stamp.instance))
        assert isinstance(hidden, Post)
        names.add(account_name(Post(**members(hidden) | {"mastostream": stamp})))
    assert len(names) == 1
    assert re.fullmatch(r"[a-z2-7]{16}", names.pop())


def members(shown: Post) -> dict[str, object]:
    return {
        "id": shown.id,
        "created_at": shown.created_at,
        "account": shown.account,
        "uri": shown.uri,
    }


HOST = re.compile(r"^https?://([^/?#@\s]{1,255})(?![^/?#])", re.ASCII)


@given(posts(), st.sampled_from(["", "https://a.example/1", "tag:x", "pseudonym:abc"]))
def test_a_name_is_what_the_sql_files_compute(some: Post, uri: str) -> None:
    """The expression of the SQL files, part by part: a missing part is null, as in SQL."""
    for shown in (some, Post(**members(some) | {"uri": uri})):
        acct, *rest = shown.account.acct.split("@")
        found = (HOST.search(text) for text in (shown.uri, shown.account.url or ""))
        parts = [match and match[1] for match in found] + [*rest[:1], shown.instance]
        host = next(filter(None, parts), None)
        if shown.uri.startswith("pseudonym:") or host is None:
            assert account_name(shown) == acct.lower()
        else:
            assert account_name(shown) == f"{acct}@{host}".lower()


@given(st.text(), st.text(), st.none() | st.text())
def test_any_text_has_a_name(acct: str, uri: str, url: str | None) -> None:
    assert isinstance(account_name(post(acct or "a", uri, url)), str)
