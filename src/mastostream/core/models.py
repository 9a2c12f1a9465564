"""What a post is, wherever it came from.

The members and their meaning are those of Mastodon's API entities ``Status``, ``Account`` and
``Tag`` (https://docs.joinmastodon.org/entities/). A model holds what the analyses use; the log and
the archive keep the status as the server sent it, every member of it.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import attrs
import msgspec

__all__ = [
    "EVENTS",
    "MAX_COUNT",
    "Account",
    "Count",
    "Deletion",
    "Event",
    "Name",
    "Post",
    "Rejected",
    "Stamp",
    "Tag",
    "Timestamp",
    "to_utc",
]

MAX_COUNT: Final = 2**40
"""The highest engagement count that is believed: it keeps every score below 2**63, the largest
integer of SQLite, Java and Elasticsearch, at any allowed weight."""

Event = Literal["new", "edit", "refresh", "delete"]
EVENTS: Final[tuple[Event, ...]] = ("new", "edit", "refresh", "delete")
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


def to_utc(value: datetime) -> datetime:
    """Return the same instant in UTC.

    Raises:
        ValueError: the time has no zone, or lies outside the years 1 to 9999 in UTC.
    """
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError("expected a time with a zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a time in the years 1 to 9999 (UTC)") from None


def _optional_utc(value: datetime | None) -> datetime | None:
    return None if value is None else to_utc(value)


# A decoder that goes straight to the model checks the annotations and runs the validators, but not
# the converters. So the constructor checks here, and a decoded post is not checked twice.
def _name(value: str) -> str:
    if not value:
        raise ValueError("expected a name, got an empty string")
    return value


def _count(value: int) -> int:
    if not 0 <= value <= MAX_COUNT:
        raise ValueError(f"expected a count from 0 to {MAX_COUNT}, got {value}")
    return value


@attrs.frozen(kw_only=True)
class Stamp:
    """The one member that the collector adds to a status: ``"mastostream"`` on the wire.

    Attributes:
        key: the record's key in the log and its document id in the index. The post's ``id`` where
            one server is followed, its ``uri`` where several are.
        event: ``new`` (first sight), ``edit``, ``refresh`` (counts read again) or ``delete``.
        instance: the host name of the server that showed the post.
        observed_at: when the collector read it, UTC. The version: the highest wins everywhere.
    """

    key: Name = attrs.field(converter=_name)
    event: Event = "new"
    instance: str = ""
    observed_at: Timestamp = attrs.field(converter=to_utc)


@attrs.frozen(kw_only=True)
class Tag:
    """A hashtag as the server lists it.

    Attributes:
        name: without ``#``; its spelling and case vary with the server.
    """

    name: str


@attrs.frozen(kw_only=True)
class Account:
    """Who wrote a post.

    Attributes:
        acct: ``name`` for an account of the server that was asked, ``name@host`` for any other.
        id: the account's id on that server.
        username: the name without a host.
        display_name: free text, hostile: escape it wherever it is shown.
        url: the profile's page.
        bot: whether the account says that it is automated.
        noindex: whether its owner opted out of search engines; ``None`` where the server is silent.
    """

    acct: str
    id: str = ""
    username: str = ""
    display_name: str = ""
    url: str | None = None
    bot: bool = False
    noindex: bool | None = None


@attrs.frozen(kw_only=True)
class Post:
    """One public post, at one moment.

    A boost has no text, tags or counts of its own: ``decode`` returns the boosted post.

    Attributes:
        id: the post's id on the server that was asked: an opaque string.
        uri: its name everywhere in the Fediverse.
        url: its web page.
        created_at: when it was written, UTC: the event time of every window.
        edited_at: when it was last changed, UTC.
        account: its author.
        content: HTML, hostile: escape it or reduce it to text wherever it is shown.
        spoiler_text: the content warning, hostile as well.
        language: as the author's server says, ``None`` where it is silent.
        tags: in the server's order.
        replies_count: replies; this and the other counts are what the server knew then, 0 or more.
        reblogs_count: boosts.
        favourites_count: favourites.
        quotes_count: quotes; 0 from servers that do not count them.
        mastostream: what the collector added, ``None`` for a record of another producer.
    """

    id: Name = attrs.field(converter=_name)
    created_at: Timestamp = attrs.field(converter=to_utc)
    account: Account
    uri: str = ""
    url: str | None = None
    edited_at: Timestamp | None = attrs.field(default=None, converter=_optional_utc)
    content: str = ""
    spoiler_text: str = ""
    language: str | None = None
    visibility: str = "public"
    sensitive: bool = False
    in_reply_to_id: str | None = None
    replies_count: Count = attrs.field(default=0, converter=_count)
    reblogs_count: Count = attrs.field(default=0, converter=_count)
    favourites_count: Count = attrs.field(default=0, converter=_count)
    quotes_count: Count = attrs.field(default=0, converter=_count)
    tags: tuple[Tag, ...] = ()
    mastostream: Stamp | None = None
    # Only `decode` sets it, and only until it has put the boosted post in the wrapper's place.
    reblog: "Post | None" = attrs.field(default=None, init=False, repr=False)

    @property
    def key(self) -> str:
        """The record's key: stamped, else the ``id``."""
        return self.id if self.mastostream is None else self.mastostream.key

    @property
    def event(self) -> Event:
        """What happened: stamped, else ``new``."""
        return "new" if self.mastostream is None else self.mastostream.event

    @property
    def instance(self) -> str:
        """The server that showed the post: stamped, else empty."""
        return "" if self.mastostream is None else self.mastostream.instance

    @property
    def observed_at(self) -> datetime:
        """When it was read: stamped, else its creation."""
        return self.created_at if self.mastostream is None else self.mastostream.observed_at


@attrs.frozen(kw_only=True)
class Deletion:
    """A post is gone. It goes through every per-post topic, so that each index can follow.

    Attributes:
        id: the id that the post had.
        uri: its ``uri`` where known.
        mastostream: the stamp, its event ``delete``.
    """

    id: Name = attrs.field(converter=_name)
    uri: str | None = None
    mastostream: Stamp = attrs.field()

    @mastostream.validator
    def _is_delete(self, _: "attrs.Attribute[Stamp]", value: Stamp) -> None:
        if value.event != "delete":
            raise ValueError(f"expected the event delete, got {value.event!r}")

    @property
    def key(self) -> str:
        """The key of the post that is gone."""
        return self.mastostream.key

    @property
    def observed_at(self) -> datetime:
        """When its absence was seen."""
        return self.mastostream.observed_at


@attrs.frozen(kw_only=True)
class Rejected:
    """Bytes that are no post.

    Attributes:
        raw: the original bytes.
        reasons: what is wrong, each with its path: ``$.account.acct: expected str, got int``.
    """

    raw: bytes
    reasons: tuple[str, ...]
