"""The task of every contender: two records of each status, with the same client settings.

The work is the same for all contenders, so they differ only by the cost of their frameworks.
"""

import re
import unicodedata
from functools import lru_cache

import attrs
import msgspec

CONSUMER = {"fetch.queue.backoff.ms": 5}
PRODUCER = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 2,
    "queue.buffering.max.messages": 1_000_000,
}


@attrs.define
class Tag:
    name: str


@attrs.define
class Account:
    acct: str
    display_name: str
    bot: bool


@attrs.define
class Status:
    id: str
    uri: str
    url: str | None
    created_at: str
    edited_at: str | None
    language: str | None
    content: str
    account: Account
    tags: list[Tag]
    favourites_count: int
    reblogs_count: int
    replies_count: int
    quotes_count: int


@lru_cache(maxsize=10_000)
def normalized(tag: str) -> str:
    """Return the normalised tag: lower case, Latin letters without diacritics."""
    text = unicodedata.normalize("NFKC", tag).lower()
    return "".join(
        unicodedata.normalize("NFD", letter)[0] if letter < "\u017f" else letter for letter in text
    )


TAGS = re.compile(r"<[^>]*>")
USES = re.compile(r"#(\w+)")
decode = msgspec.json.Decoder(Status).decode
encode = msgspec.json.Encoder().encode


def records(value: bytes) -> tuple[str, bytes, bytes]:
    """Return the key of a status, its engagement record and its hashtag record."""
    status = decode(value)
    counts = {normalized(tag.name): 0 for tag in status.tags}
    for use in USES.findall(TAGS.sub("", status.content)):
        if (name := normalized(use)) in counts:
            counts[name] += 1
    account = status.account
    score = (
        status.favourites_count
        + 2 * status.reblogs_count
        + 3 * status.replies_count
        + 2 * status.quotes_count
    )
    engagement = {
        "key": status.id,
        "observed_at": status.created_at,
        "id": status.id,
        "uri": status.uri,
        "url": status.url,
        "instance": "",
        "account": account.acct,
        "display_name": account.display_name,
        "bot": account.bot,
        "language": status.language,
        "created_at": status.created_at,
        "edited_at": status.edited_at,
        "content": status.content,
        "favourites_count": status.favourites_count,
        "reblogs_count": status.reblogs_count,
        "replies_count": status.replies_count,
        "quotes_count": status.quotes_count,
        "engagement_score": score,
    }
    hashtags = {
        "key": status.id,
        "observed_at": status.created_at,
        "id": status.id,
        "instance": "",
        "account": account.acct,
        "language": status.language,
        "created_at": status.created_at,
        "hashtags": list(counts),
        "hashtag_counts": [count or 1 for count in counts.values()],
    }
    return status.id, encode(engagement), encode(hashtags)
