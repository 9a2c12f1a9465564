"""People in statuses, and what is left of them."""

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream import Post, decode, encode, hashtag_counts
from mastostream.core.accounts import PSEUDONYM_SCHEME
from mastostream.core.pseudonyms import KEY_BYTES, pseudonym_of, pseudonymize
from mastostream.testing.simulator import generate_statuses
from mastostream.testing.strategies import posts

KEY = b"a key that nobody knows"
OTHER_KEY = b"another that nobody knows"
HOST = "social.example"
KEYS = st.binary(min_size=KEY_BYTES[0], max_size=KEY_BYTES[1])


def people_in(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "acct" in value:
            yield value
        for inner in value.values():
            yield from people_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from people_in(inner)


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        text = html.unescape(value).lower()
        yield text
        yield re.sub(r"<[^>]*>", "", text)  # as a reader sees it


def traces(raw: bytes, result: bytes) -> list[str]:
    """What in the result still names somebody of the original."""
    wanted: set[str] = set()
    for person in people_in(msgspec.json.decode(raw)):
        acct, name = str(person["acct"]).lower(), str(person["username"]).lower()
        wanted |= {f"@{acct}", f"@{name}", f"/users/{name}"}
        wanted |= {str(person[member]).lower() for member in ("url", "uri") if person.get(member)}
        wanted |= {acct} if "@" in acct else set()
        shown = re.split(r"[(\[|:]", str(person.get("display_name") or "").lower())[0].split()
        wanted |= {" ".join(shown)} if len(shown) > 1 else set()
    texts = set(texts_in(msgspec.json.decode(result)))
    return [
        f"{name} in {text}"
        for name in wanted
        for text in texts
        if name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    ]


def status(content: str = "", **members: Any) -> dict[str, Any]:
    return {
        "id": "7",
        "created_at": "2025-01-01T00:00:00Z",
        "uri": f"https://{HOST}/users/ada_1/statuses/7",
        "url": f"https://{HOST}/@ada_1/7",
        "content": content,
        "account": account("ada_1", HOST, local=True),
        **members,
    }


def account(name: str, host: str, *, local: bool = False, **members: Any) -> dict[str, Any]:
    return {
        "id": "1234",
        "acct": name if local else f"{name}@{host}",
        "username": name,
        "display_name": "",
        "url": f"https://{host}/@{name}",
        **members,
    }


def done(value: dict[str, Any], key: bytes = KEY, host: str = HOST) -> dict[str, Any]:
    result = msgspec.json.decode(pseudonymize(msgspec.json.encode(value), key, host))
    assert isinstance(result, dict)
    return result


def of(name: str) -> str:
    return pseudonym_of(name, KEY)


def test_nobody_of_a_generated_status_is_named_in_the_result() -> None:
    for raw in generate_statuses(300, seed=5):
        result = pseudonymize(raw, KEY, HOST)
        assert isinstance(decode(result), Post)
        for person in people_in(msgspec.json.decode(raw)):
            for member in ("username", "acct", "display_name", "url", "uri", "id"):
                assert person[member].lower().encode() not in result.lower()


def test_nobody_of_a_real_status_is_named_in_the_result(corpus: Sequence[bytes]) -> None:
    found = []
    for raw in corpus:
        before = decode(raw)
        result = pseudonymize(raw, KEY, "mastodon.social")
        after = decode(result)
        assert isinstance(after, Post) == isinstance(before, Post)
        if isinstance(before, Post) and isinstance(after, Post):
            found += traces(raw, result)
            assert (after.id, after.created_at) == (before.id, before.created_at)
            assert hashtag_counts(after) == hashtag_counts(before)
    assert len(found) == 0, f"{len(found)} traces"


def test_another_key_gives_everybody_another_pseudonym() -> None:
    for raw in generate_statuses(50):
        one, other = (decode(pseudonymize(raw, key, HOST)) for key in (KEY, OTHER_KEY))
        assert isinstance(one, Post)
        assert isinstance(other, Post)
        assert one.account.acct != other.account.acct
        assert one.uri != other.uri


def test_the_same_key_gives_the_same_bytes() -> None:
    for raw in generate_statuses(50):
        assert pseudonymize(raw, KEY, HOST) == pseudonymize(raw, KEY, HOST)


@pytest.mark.parametrize("host", ["social.example", "elsewhere.example"])
def test_a_person_has_one_pseudonym_whichever_server_shows_the_post(host: str) -> None:
    at_home = account("ada_1", HOST, local=True)
    elsewhere = account("Ada_1", HOST, id="99")
    mentioned = {"id": "5", "username": "ada_1", "acct": f"ada_1@{HOST}", "url": at_home["url"]}
    silent = {"acct": "ada_1", "username": "ada_1"}
    seen = {
        done(status(account=at_home), host=host)["account"]["acct"],
        done(status(account=elsewhere), host=host)["account"]["acct"],
        done(status(mentions=[mentioned]), host=host)["mentions"][0]["acct"],
        done(status(account=silent), host=HOST)["account"]["acct"],
    }
    assert seen == {of(f"ada_1@{HOST}")}


def test_a_server_whose_accounts_bear_another_name_changes_nothing() -> None:
    at_home = account("ada", "web.town.example", local=True)
    elsewhere = account("ada", "web.town.example", acct="ada@town.example")
    text = '<p><a href="https://web.town.example/@ada">x</a> @ada@town.example @ada</p>'
    name = of("ada@web.town.example")
    for person in (at_home, elsewhere):
        assert done(status(account=person))["account"]["acct"] == name
    assert done(status(text, account=elsewhere))["content"].count(name) == 4


def test_the_same_post_has_one_address_whichever_server_shows_it() -> None:
    here = done(status())
    there = done(status(id="8"), host="elsewhere.example")
    deleted = done({"id": "7", "uri": status()["uri"]})
    address = PSEUDONYM_SCHEME + of(status()["uri"])
    assert here["uri"] == here["url"] == there["uri"] == deleted["uri"] == address


@given(posts(), KEYS)
def test_a_post_stays_a_post(post: Post, key: bytes) -> None:
    result = decode(pseudonymize(encode(post), key, HOST))
    assert isinstance(result, Post)
    assert (result.id, result.created_at, result.tags) == (post.id, post.created_at, post.tags)
    assert result.favourites_count == post.favourites_count
    assert result.account.bot == post.account.bot
    assert result.account.noindex == post.account.noindex
    assert result.mastostream is None
    assert re.fullmatch(r"[a-z2-7]{16}", result.account.acct)


@given(st.binary() | st.text().map(str.encode) | st.from_regex(rb'\{"a":[\[{"@1<\]}]*\}'), KEYS)
def test_it_never_raises_and_what_is_no_object_becomes_an_empty_one(raw: bytes, key: bytes) -> None:
    result = pseudonymize(raw, key, HOST)
    assert isinstance(msgspec.json.decode(result), dict)
    try:
        known = isinstance(msgspec.json.decode(raw), dict)
    except (msgspec.DecodeError, UnicodeError):
        known = False
    assert known or result == b"{}"


def test_of_an_account_flags_counts_and_dates_stay_and_the_rest_is_emptied() -> None:
    person = account(
        "ada_1",
        HOST,
        display_name="Ada of the Town",
        note="<p>I am Ada</p>",
        avatar="https://files.example/ada.png",
        bot=True,
        noindex=None,
        created_at="2020-01-01T00:00:00.000Z",
        followers_count=12,
        fields=[{"name": "site", "value": "ada.example"}],
        emojis=[{"shortcode": "ada"}],
        fqn="ada_1@social.example",
        pleroma={"ap_id": "https://social.example/users/ada_1"},
        uid=7,
        moved=account("ada_2", "elsewhere.example"),
    )
    kept = done(status(account=person))["account"]
    name = of(f"ada_1@{HOST}")
    assert {kept.pop(member) for member in ("id", "acct", "username")} == {name}
    assert kept.pop("moved")["acct"] == of("ada_2@elsewhere.example")
    stays = {"bot": True, "noindex": None, "followers_count": 12}
    assert {member: value for member, value in kept.items() if value not in ("", [], {})} == (
        stays | {"created_at": "2020-01-01T00:00:00.000Z"}
    )


MENTIONED = account("Bob.b-c", "town.example", local=False, display_name="Bob the Builder :star:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello @ada_1, @Bob.b-c.", "hello @{ada}, @{bob}."),
        ("@bob.b-c.hello @bob.b", "@{bob}.hello @bob.b"),
        ("(@ada_1@social.example)", "(@{ada})"),
        ("@somebody@else.example", "@{else}"),
        ("mail: somebody@else.example.", "mail: {else}."),
        ("acct:ada_1@social.example", "acct:{ada}"),
        ("at 5@7, me@home, a@b.c3", "at 5@7, me@home, a@b.c3"),
        ("@<span>ada_1</span>", "@<span>{ada}</span>"),
        ("&#64;ada_1 &#x40;ada_1 ＠ada_1", "&#64;{ada} &#x40;{ada} ＠{ada}"),
        ("nobody's @ada_11 and ada_1", "nobody's @ada_11 and ada_1"),
        ("https://social.example/@ada_1", "pseudonym:{ada}"),
        ("https://social.example/users/ADA_1/statuses/7", "pseudonym:{ada}"),
        ("https://social.example/ada_1.", "pseudonym:{ada}"),
        ("https://social.example/~ada_1?a=b", "pseudonym:{ada}"),
        ("https://other.example/@ada_1@social.example/7", "pseudonym:{ada}"),
        ("https://other.example/%40ada_1@social.example", "pseudonym:{ada}"),
        ("https://else.example/@somebody/1", "pseudonym:{else}"),
        ("https://else.example/users/somebody", "pseudonym:{else}"),
        ("https://a.example/?u=ada_1@social.example&v=1", "https://a.example/?u={ada}&v=1"),
        ("https://a.example/ada_1/b", "https://a.example/ada_1/b"),
        ("https://social.example/tags/ada_1", "https://social.example/tags/ada_1"),
        ("from @ada_1https://a.example/b", "from @{ada}https://a.example/b"),
        ("https://[broken/@ada_1", "pseudonym:{lost}"),
        (
            '<a href="https://social.example/@ada_1" class="mention">@<span>ada_1</span></a>!',
            '<a href="pseudonym:{ada}">@{ada}</a>!',
        ),
        (
            "<A rel=x href=https://social.example/@ada_1/1><span>social.example/@ad</span>a_1/1</A>",
            '<a href="pseudonym:{ada}">@{ada}</a>',
        ),
        (
            '@<a href="https://social.example/@ada_1">ada_1</a>',
            '@<a href="pseudonym:{ada}">{ada}</a>',
        ),
        (
            '<a href="https://a.example/">by <b>@ada_1</b></a> <abbr>x</abbr>',
            '<a href="https://a.example/">by <b>@{ada}</b></a> <abbr>x</abbr>',
        ),
        ('<a href="https://social.example/@ada_1">@ada_1', '<a href="pseudonym:{ada}">@{ada}'),
        ("<p>bob  THE builder's, Bob the Builders</p>", "<p>{bob}'s, Bob the Builders</p>"),
        ("#news for all, 3 &lt; 4 &amp; 5", "#news for all, 3 &lt; 4 &amp; 5"),
    ],
)
def test_people_in_a_text(text: str, expected: str) -> None:
    names = {
        "ada": of("ada_1@social.example"),
        "bob": of("bob.b-c@town.example"),
        "else": of("somebody@else.example"),
        "lost": of("ada_1@"),
    }
    written = status(text, spoiler_text=text, unknown={"a": [text]}, mentions=[MENTIONED])
    result = done(written)
    assert result["content"] == expected.format(**names)
    assert result["spoiler_text"] == result["unknown"]["a"][0] == result["content"]


def test_boosts_quotes_answers_and_linked_pages_are_followed() -> None:
    bob = account("bob", "town.example", id="22")
    written = status(
        reblog=status("@bob", account=bob),
        quote={"state": "accepted", "quoted_status": status("@bob", account=bob)},
        in_reply_to_account_id="22",
        pleroma={"in_reply_to_account_acct": "bob@town.example", "local": True},
        emoji_reactions=[{"account_ids": ["22", "unknown"], "accounts": [bob], "count": 2}],
        card={
            "url": "https://paper.example/1",
            "title": "News",
            "author_name": "Bob B.",
            "author_url": "https://bob.example",
            "authors": [{"name": "Bob B.", "url": "https://bob.example", "account": bob}],
        },
    )
    result = done(written)
    name = of("bob@town.example")
    assert result["reblog"]["account"]["acct"] == name
    assert result["reblog"]["content"] == f"@{name}"
    assert result["reblog"]["url"].startswith(PSEUDONYM_SCHEME)
    assert result["quote"]["quoted_status"]["account"]["id"] == name
    assert result["quote"]["quoted_status"]["uri"].startswith(PSEUDONYM_SCHEME)
    assert result["in_reply_to_account_id"] == name
    assert result["pleroma"] == {"in_reply_to_account_acct": name, "local": True}
    assert result["emoji_reactions"][0]["account_ids"] == [name, None]
    assert result["card"]["title"] == "News"
    assert result["card"]["authors"][0]["account"]["acct"] == name
    text = msgspec.json.encode(result).lower()
    assert b"bob" not in text
    assert isinstance(decode(text), Post)


def test_a_linked_page_about_a_person_says_nothing_but_who() -> None:
    card = {"url": f"https://{HOST}/@ada_1/5", "title": "Ada", "description": "I", "width": 3}
    expected = {
        "url": PSEUDONYM_SCHEME + of(f"ada_1@{HOST}"),
        "title": "",
        "description": "",
        "width": 3,
    }
    assert done(status(card=card))["card"] == expected


def test_a_member_under_the_name_of_the_stamp_is_not_kept() -> None:
    assert "mastostream" not in done(status(mastostream={"key": "https://a.example/@ada_1"}))


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 15, b"x" * 65])
def test_a_key_that_could_be_guessed_or_is_too_long_is_refused(key: bytes) -> None:
    for attempt in (lambda: pseudonym_of("a", key), lambda: pseudonymize(b"no JSON", key, HOST)):
        with pytest.raises(ValueError, match="16 to 64 bytes"):
            attempt()


@pytest.mark.parametrize(
    "text",
    [
        "<" * 1_200_000,
        "<a " * 400_000,
        "<a x>" * 400_000,
        "@" * 1_200_000,
        "@<b>" * 400_000,
        "@a." * 100_000,
        "@" + "a." * 600_000,
        "a" * 1_200_000,
        "a." * 600_000,
        "a.-" * 400_000,
        "a@" * 150_000,
        "a%40b&#64;" * 30_000,
        "&#0" + "0" * 1_200_000,
        "https://" * 160_000,
        "https://a/" + "@/" * 600_000,
        "<a href" + " " * 1_200_000,
        "Bob " + " " * 1_200_000,
        "Bob the " * 160_000,
    ],
)
def test_a_hostile_text_is_read_in_steps_that_grow_with_its_length(text: str) -> None:
    """With the square of it, each would go on for minutes: the time-out of all tests ends that."""
    # A text without any sign of a name is not searched at all: each gets one.
    raw = msgspec.json.encode(status(f"& {text}", mentions=[MENTIONED]))
    assert isinstance(decode(pseudonymize(raw, KEY, HOST)), Post)


def test_what_is_nested_without_end_becomes_an_empty_object() -> None:
    deep = b'{"id":"@ada","x":' + b'{"x":' * 900 + b"1" + b"}" * 901
    assert pseudonymize(deep, KEY, HOST) == b"{}"
