"""Hypothesis strategies for the core's models. Needs ``pip install 'mastostream[testing]'``.

:func:`posts` makes what real users post, with members that are odd in ways that the models allow.
The hashtags that a post lists are those that its text uses: a text may use one several times, in
several spellings. Texts are the HTML of several families of servers, with hashtags in many scripts,
mentions, links and quotes. :func:`statuses` makes the JSON in which a server sends such posts and
boosts of them.
"""

from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, Final

import attrs
import msgspec
from hypothesis import strategies as st

from mastostream.core.codec import encode
from mastostream.core.hashtags import normalize_hashtag
from mastostream.core.models import MAX_COUNT, Account, Deletion, Post, Stamp, Tag
from mastostream.testing import markup
from mastostream.testing.markup import Family

__all__ = ["accounts", "deletions", "hashtag_names", "posts", "stamps", "statuses", "times"]

_text = st.text(max_size=40)
_name = st.text(min_size=1, max_size=20)
_counts = st.integers(0, 500) | st.integers(0, MAX_COUNT)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


@attrs.frozen
class _Person:
    """Somebody who posts.

    Attributes:
        family: family of the server that the account is on.
        username: name without a host.
        host: host of the server's web pages and of its ActivityPub ids.
        domain: host in the names that other servers show, ``username@domain``.
    """

    family: Family
    username: str
    host: str
    domain: str


_PEOPLE: Final = (
    _Person("mastodon", "ana", "social.example.org", "example.org"),
    _Person("mastodon", "ana", "mastodon.example", "mastodon.example"),
    _Person("mastodon", "Ben_2", "mastodon.example", "mastodon.example"),
    _Person("gotosocial", "chi", "gts.example.net", "example.net"),
    _Person("pleroma", "dora.d", "pleroma.example", "pleroma.example"),
    _Person("friendica", "emil", "friendica.example", "friendica.example"),
    _Person("misskey", "fumi", "misskey.example", "misskey.example"),
)
_INSTANCES: Final = (*sorted({person.host for person in _PEOPLE}), "reader.example")

_HASHTAGS: Final = (
    "news",
    "CatsOfMastodon",
    "café",
    "Straße",
    "İstanbul",
    "ΟΔΟΣ",
    "Новости",
    "日本",
    "スター・ウォーズ",
    "ニュース",
    "한국어",
    "新闻",
    "ข่าว",
    "น้ำ",
    "हिन्दी",
    "ਪੰਜਾਬੀ",
    "தமிழ்",
    "שָׁלוֹם",
    "أخبار",
    "می\u200cخواهم",  # noqa: RUF001 - Persian
    "ދިވެހި",
    "ＮＥＷＳ",  # noqa: RUF001 - full-width letters are the point
    "l·l",
    "snake_case",
    "2024election",
    "a1",
)
# Letters of one script each, all of them older than any supported Python's tables of Unicode.
_ALPHABETS: Final = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßąćęłńśźżčďěňřšťůžğışİ",
    "αβγδεζηθικλμνξοπρσςτυφχψωΣ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяЖЮ",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "कखगघचछजटडतदनपबमयरलवसह",
    "กขคงจชดตนบปพมยรลวสห",
    "가나다라마바사아자차카타파하",
    "あいうえおかきくけこアイウエオカキクケコ日本中国語",
)
_PHRASES: Final = (
    "good morning",
    "C# and F# are languages",
    "R&D <3 'quotes' \"too\"",
    "3 > 2 && 1 < 2",
    "Der Kaffee hilft, die Vögel singen",
    "今朝は電車が遅れ、珈琲を飲む",
    "الصباح يبدأ ببطء",
    "สวัสดีตอนเช้า",
    "👩‍👩‍👧 🏳️‍🌈 🎉",
    "@ home, 50 % off",
    "one\ntwo",
)
_ADDRESSES: Final = (
    "https://example.com/",
    "https://example.com/search?q=a&tag=b#results",
    "https://www.example.com/2024/10/21/a-rather-long-title-of-an-article?utm_source=x#comments",
    "https://mastodon.example/@ana/113000000000000001",
)
_NOT_A_SIGN: Final = st.characters(
    exclude_categories=["Cs"], exclude_characters="#\N{FULLWIDTH NUMBER SIGN}"
)
_LANGUAGES: Final = (
    "en",
    "de",
    "ja",
    "pt",
    "pt-BR",
    "pt_br",
    "EN-us",
    " en ",
    "zh-Hant-TW",
    "zh-YUE",
    "sr-Latn",
    "und",
    "mul",
    "x-default",
    "",
)


def times() -> st.SearchStrategy[datetime]:
    """Generate aware UTC datetimes of the years 1 to 9999."""
    return st.datetimes(timezones=st.just(UTC))


def accounts() -> st.SearchStrategy[Account]:
    """Generate accounts: a name that is not empty, and any texts in the other members."""
    return st.builds(
        Account,
        acct=_name,
        id=_text,
        username=_text,
        display_name=_text,
        url=st.none() | _text,
        bot=st.booleans(),
        noindex=st.none() | st.booleans(),
    )


def stamps(
    event: str | None = None, observed_at: st.SearchStrategy[datetime] | None = None
) -> st.SearchStrategy[Stamp]:
    """Generate stamps.

    Args:
        event: their event; by default ``new``, ``edit`` and ``refresh``.
        observed_at: generates the times of observation; :func:`times` by default.
    """
    return st.builds(
        Stamp,
        key=_name,
        event=st.sampled_from(("new", "edit", "refresh")) if event is None else st.just(event),
        instance=st.sampled_from(_INSTANCES) | _text,
        observed_at=times() if observed_at is None else observed_at,
    )


def hashtag_names() -> st.SearchStrategy[str]:
    """Generate hashtags without ``#``, in many scripts; Mastodon takes each of them for one."""
    letters = st.sampled_from(_ALPHABETS).flatmap(
        lambda alphabet: st.text(alphabet, min_size=1, max_size=10)
    )
    return st.sampled_from(_HASHTAGS) | letters.filter(lambda name: any(map(str.isalpha, name)))


def posts(
    created_at: st.SearchStrategy[datetime] | None = None,
    stamp: st.SearchStrategy[Stamp | None] | None = None,
) -> st.SearchStrategy[Post]:
    """Generate posts as real users write them and as servers show them.

    A post that was edited says so in ``edited_at``, and a post with the event ``edit`` was edited.
    An author's ``acct`` has no host exactly if the stamp's instance is the author's server.

    Args:
        created_at: generates the times of creation; :func:`times` by default.
        stamp: generates the stamps; by default none, or any of :func:`stamps` that observed the
            post after its creation and its last edit.
    """
    return _posts(times() if created_at is None else created_at, stamp)


@st.composite
def _posts(
    draw: st.DrawFn,
    created_at: st.SearchStrategy[datetime],
    stamp: st.SearchStrategy[Stamp | None] | None,
) -> Post:
    created = draw(created_at)
    edited = draw(st.none() | _from(created))
    shown = draw(
        st.none() | stamps(observed_at=_from(edited or created)) if stamp is None else stamp
    )
    if shown is not None and shown.event == "edit":
        edited = edited or created
    person = draw(st.sampled_from(_PEOPLE))
    content, tags = draw(_texts(person))
    post_id = draw(st.integers(1, 2**63).map(str) | _name)
    number = draw(st.integers(1, 10**6))
    uri = f"https://{person.host}/users/{person.username}/statuses/{number}"
    return Post(
        id=post_id,
        created_at=created,
        account=draw(_accounts_of(person, "" if shown is None else shown.instance)),
        uri=draw(st.just(uri) | st.sampled_from(("", f"tag:{person.domain},2017:{number}"))),
        url=draw(st.just(f"https://{person.host}/@{person.username}/{number}") | st.none() | _text),
        edited_at=edited,
        content=content,
        spoiler_text=draw(st.just("") | _text),
        language=draw(st.none() | st.sampled_from(_LANGUAGES) | _text),
        visibility=draw(st.sampled_from(("public", "unlisted")) | _text),
        sensitive=draw(st.booleans()),
        in_reply_to_id=draw(st.none() | _name),
        replies_count=draw(_counts),
        reblogs_count=draw(_counts),
        favourites_count=draw(_counts),
        quotes_count=draw(_counts),
        tags=tags,
        mastostream=shown,
    )


def _from(time: datetime) -> st.SearchStrategy[datetime]:
    """Generate times of the three days from this time on."""
    ages = st.timedeltas(timedelta(0), timedelta(days=3))
    return ages.map(lambda age: time + min(age, _LAST - time))


def _accounts_of(person: _Person, instance: str) -> st.SearchStrategy[Account]:
    at_home = instance == person.host
    return st.builds(
        Account,
        acct=st.just(person.username if at_home else f"{person.username}@{person.domain}"),
        id=st.integers(1, 2**63).map(str) | _text,
        username=st.just(person.username),
        display_name=st.just(person.username.title()) | _text,
        url=st.just(f"https://{person.host}/@{person.username}") | st.none(),
        bot=st.booleans(),
        noindex=st.none() | st.booleans(),
    )


@st.composite
def _texts(draw: st.DrawFn, person: _Person) -> tuple[str, tuple[Tag, ...]]:
    """Draw the HTML of a post by this person, and the hashtags that the server lists for it."""
    family, host = person.family, person.host
    words = st.sampled_from(_PHRASES) | st.text(_NOT_A_SIGN, max_size=20)
    others = (
        words.map(escape)
        | st.sampled_from(_PEOPLE).map(lambda p: markup.mention(family, p.host, p.username))
        | st.sampled_from(_ADDRESSES).map(lambda address: markup.link(family, address))
    )
    names = draw(st.lists(hashtag_names(), max_size=4, unique_by=normalize_hashtag))
    uses = [spelled for name in names for spelled in draw(_spellings(name))]
    tags = [markup.hashtag(family, host, name) for name in uses]
    pieces = draw(st.permutations(tags + draw(st.lists(others, max_size=4))))
    quote = draw(
        st.just("") | st.sampled_from(_ADDRESSES).map(lambda at: markup.quoted(family, at))
    )
    listed = tuple(Tag(name=markup.listed_name(family, name)) for name in names)
    return f"{quote}<p>{draw(st.sampled_from((' ', '<br />', '</p><p>'))).join(pieces)}</p>", listed


def _spellings(name: str) -> st.SearchStrategy[list[str]]:
    """Generate the uses of one hashtag in one text: once to three times, in upper case or not."""
    tag = normalize_hashtag(name)
    spelled = [s for s in (name, name.upper(), name.lower()) if normalize_hashtag(s) == tag]
    return st.just([name]) | st.lists(st.sampled_from(spelled), min_size=1, max_size=3)


def statuses(post: st.SearchStrategy[Post] | None = None) -> st.SearchStrategy[bytes]:
    """Generate the JSON in which a server sends a post: also members that no analysis reads.

    Some are boosts: the post is the member ``reblog`` of a status that has no text of its own.
    ``decode`` returns the post in both cases.

    Args:
        post: generates the posts; :func:`posts` by default.
    """
    return _statuses(posts() if post is None else post)


@st.composite
def _statuses(draw: st.DrawFn, post: st.SearchStrategy[Post]) -> bytes:
    status: dict[str, Any] = msgspec.json.decode(encode(draw(post)))
    status |= {
        "mentions": [
            {"id": "1", "username": "ana", "acct": "ana", "url": "https://a.example/@ana"}
        ],
        "media_attachments": [],
        "emojis": [],
        "card": None,
        "poll": None,
        "application": {"name": "Web", "website": None},
        "quote": draw(st.sampled_from((None, {"state": "accepted", "quoted_status": None}))),
        "reblog": None,
    }
    if draw(st.booleans()):
        counts = ("replies_count", "reblogs_count", "favourites_count", "quotes_count")
        wrapper = {
            "id": draw(_name),
            "uri": "https://mastodon.example/users/ben/statuses/1/activity",
            "account": msgspec.json.decode(encode(draw(accounts()))),
            "content": "",
            "tags": [],
            "mastostream": status.pop("mastostream"),
            "reblog": status,
        }
        status = status | dict.fromkeys(counts, 0) | wrapper
    return msgspec.json.encode(status)


def deletions() -> st.SearchStrategy[Deletion]:
    """Generate deletions with a stamp of the event ``delete``."""
    return st.builds(Deletion, id=_name, uri=st.none() | _text, mastostream=stamps("delete"))
