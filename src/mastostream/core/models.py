"""Models of what the log contains: posts, deletions, and records that are neither.

The members and their meaning are those of Mastodon's API entities ``Status``, ``Account`` and
``Tag`` (https://docs.joinmastodon.org/entities/). A model has only the members that analyses use;
the log and the archive keep each status with all members, as the server sent it.
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
"""Upper bound of an engagement count. It keeps every score below 2**63 at any allowed weight, so
that it fits the 64-bit integers of SQLite, Java and Elasticsearch."""

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


# msgspec's decoder checks the annotations and runs validators, but it does not run converters. So
# the checks of the constructor are converters, and a decoded post is not checked twice.
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
    """What the collector adds to a status: the member ``mastostream`` of its JSON.

    Attributes:
        key: key of the record in the log, and id of the document in an index: the post's ``id`` if
            posts are collected from one server, its ``uri`` if from several. Not empty.
        event: ``new`` (observed for the first time), ``edit``, ``refresh`` (counts read again) or
            ``delete``.
        instance: host name of the server that showed the post.
        observed_at: time at which the collector read the post, UTC. It is the version: of several
            records with one key, the one with the latest time is valid.

    Raises:
        ValueError: ``key`` is empty, or ``observed_at`` has no zone.
    """

    key: Name = attrs.field(converter=_name)
    event: Event = "new"
    instance: str = ""
    observed_at: Timestamp = attrs.field(converter=to_utc)


@attrs.frozen(kw_only=True)
class Tag:
    """A hashtag as the server lists it.

    Attributes:
        name: the hashtag without ``#``; spelling and case differ between servers.
    """

    name: str


@attrs.frozen(kw_only=True)
class Account:
    """The author of a post.

    Attributes:
        acct: ``name`` for an account of the server that showed the post, ``name@host`` for others.
        id: the account's id on the server that showed the post.
        username: the name without a host.
        display_name: free text. It may be hostile: escape it wherever it is shown.
        url: address of the profile's page.
        bot: whether the account says that it is automated.
        noindex: whether the account opted out of search engines; ``None`` where the server does not
            say so.
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
    """One public post, as it was at one moment.

    A boost has no text, hashtags or counts of its own: ``decode`` returns the boosted post.

    Attributes:
        id: id of the post on the server that showed it: an opaque string, not empty.
        uri: id of the post that is the same on all servers of the Fediverse.
        url: address of the post's web page.
        created_at: time at which the post was written, UTC: the event time of windows.
        edited_at: time of the last edit, UTC; ``None`` if there was none.
        account: the author.
        content: the text as HTML. It may be hostile: escape it or reduce it to text wherever it is
            shown.
        spoiler_text: the content warning. It may be hostile, as ``content`` may.
        language: language tag that the author's server states; ``None`` where it states none.
        visibility: ``public``, ``unlisted``, or another value of Mastodon's.
        sensitive: whether the author marked the post or its media as sensitive.
        in_reply_to_id: id of the post that this one replies to, on the server that showed it.
        replies_count: number of replies that the server knew, 0 to 2**40, as are all counts.
        reblogs_count: number of boosts.
        favourites_count: number of favourites.
        quotes_count: number of quotes; 0 from servers that do not count them.
        tags: the hashtags, in the server's order.
        mastostream: the collector's stamp; ``None`` for a record of another producer.

    Raises:
        ValueError: ``id`` is empty, a count is out of bounds, or a time has no zone.
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
    # Set in `decode` only: it returns the boosted post in place of the post that wraps it.
    reblog: "Post | None" = attrs.field(default=None, init=False, repr=False)

    @property
    def key(self) -> str:
        """Key of the record: the stamp's, or ``id`` without a stamp."""
        return self.id if self.mastostream is None else self.mastostream.key

    @property
    def event(self) -> Event:
        """What happened to the post: the stamp's event, or ``new`` without a stamp."""
        return "new" if self.mastostream is None else self.mastostream.event

    @property
    def instance(self) -> str:
        """Host name of the server that showed the post; empty without a stamp."""
        return "" if self.mastostream is None else self.mastostream.instance

    @property
    def observed_at(self) -> datetime:
        """Time at which the post was read: the stamp's.

        Without a stamp it is the later of ``created_at`` and ``edited_at``.
        """
        if self.mastostream is not None:
            return self.mastostream.observed_at
        return self.created_at if self.edited_at is None else max(self.created_at, self.edited_at)


@attrs.frozen(kw_only=True)
class Deletion:
    """The deletion of a post.

    Analyses of single posts pass it on to their topics, so that each index can delete its document.

    Attributes:
        id: id that the post had on the server that showed it; not empty.
        uri: the post's ``uri``, if it is known.
        mastostream: the collector's stamp, with the event ``delete``.

    Raises:
        ValueError: ``id`` is empty, or the stamp has another event.
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
        """Key of the deleted post."""
        return self.mastostream.key

    @property
    def observed_at(self) -> datetime:
        """Time at which the collector learned of the deletion."""
        return self.mastostream.observed_at


@attrs.frozen(kw_only=True)
class Rejected:
    """Bytes that are not a post and not a deletion, with the reasons.

    Attributes:
        raw: the bytes.
        reasons: what is wrong, each with its JSON path: ``$.account.acct: expected str, got int``.
    """

    raw: bytes
    reasons: tuple[str, ...]
