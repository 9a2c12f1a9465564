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
    if value.utcoffset() is None:
        raise ValueError("expected a time with a zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a time in the years 1 to 9999 (UTC)") from None


# The checks of the constructors are converters: msgspec's decoder, which checks the annotations,
# runs validators, but no converters, so that a decoded post is not checked twice. Subclasses are
# refused because the encoder does not take them.
def _check_type(value: object, expected: type) -> None:
    if type(value) is not expected:
        raise TypeError(f"expected {expected.__name__}, got {type(value).__name__}")


def _time(value: datetime) -> datetime:
    _check_type(value, datetime)
    return to_utc(value)


def _optional_time(value: datetime | None) -> datetime | None:
    return None if value is None else _time(value)


def _text(value: str) -> str:
    _check_type(value, str)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("expected Unicode text, got half a surrogate pair") from None
    return value


def _optional_text(value: str | None) -> str | None:
    return None if value is None else _text(value)


def _name(value: str) -> str:
    if not _text(value):
        raise ValueError("expected a name, got an empty string")
    return value


def _optional_name(value: str | None) -> str | None:
    return None if value is None else _name(value)


def _flag(value: bool) -> bool:
    _check_type(value, bool)
    return value


def _optional_flag(value: bool | None) -> bool | None:
    return None if value is None else _flag(value)


def _count(value: int) -> int:
    _check_type(value, int)
    if not 0 <= value <= MAX_COUNT:
        raise ValueError(f"expected a count from 0 to {MAX_COUNT}, got {value}")
    return value


def _event(value: Event) -> Event:
    if _text(value) not in EVENTS:
        raise ValueError(f"expected one of {', '.join(EVENTS)}, got {value!r}")
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
        TypeError: a value has another type than its annotation.
        ValueError: ``key`` is empty, ``event`` is another word, or ``observed_at`` has no zone.
    """

    key: Name = attrs.field(converter=_name)
    event: Event = attrs.field(default="new", converter=_event)
    instance: str = attrs.field(default="", converter=_text)
    observed_at: Timestamp = attrs.field(converter=_time)


@attrs.frozen(kw_only=True)
class Tag:
    """A hashtag as the server lists it.

    Attributes:
        name: the hashtag without ``#``; spelling and case differ between servers.

    Raises:
        TypeError: ``name`` is no ``str``.
    """

    name: str = attrs.field(converter=_text)


@attrs.frozen(kw_only=True)
class Account:
    """The author of a post.

    Attributes:
        acct: ``name`` for an account of the server that showed the post, ``name@host`` for others;
            not empty. See :func:`account_name` for a name that is the same on all servers.
        id: the account's id on the server that showed the post.
        username: the name without a host.
        display_name: free text. It may be hostile: escape it wherever it is shown.
        url: address of the profile's page.
        bot: whether the account says that it is automated.
        noindex: whether the account opted out of search engines; ``None`` where the server does not
            say so.

    Raises:
        TypeError: a value has another type than its annotation.
        ValueError: ``acct`` is empty.
    """

    acct: Name = attrs.field(converter=_name)
    id: str = attrs.field(default="", converter=_text)
    username: str = attrs.field(default="", converter=_text)
    display_name: str = attrs.field(default="", converter=_text)
    url: str | None = attrs.field(default=None, converter=_optional_text)
    bot: bool = attrs.field(default=False, converter=_flag)
    noindex: bool | None = attrs.field(default=None, converter=_optional_flag)


def _account(value: Account) -> Account:
    _check_type(value, Account)
    return value


def _tags(value: tuple[Tag, ...]) -> tuple[Tag, ...]:
    _check_type(value, tuple)
    for tag in value:
        _check_type(tag, Tag)
    return value


def _stamp_of_post(value: Stamp | None) -> Stamp | None:
    if value is not None:
        _check_type(value, Stamp)
        if value.event == "delete":
            raise ValueError("expected a Deletion for the event delete")
    return value


def _stamp_of_deletion(value: Stamp) -> Stamp:
    _check_type(value, Stamp)
    if value.event != "delete":
        raise ValueError(f"expected the event delete, got {value.event!r}")
    return value


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
        in_reply_to_id: id of the post that this one replies to, on the server that showed it; not
            empty.
        replies_count: number of replies that the server knew, 0 to 2**40, as are all counts.
        reblogs_count: number of boosts.
        favourites_count: number of favourites.
        quotes_count: number of quotes; 0 from servers that do not count them.
        tags: the hashtags, in the server's order.
        mastostream: the collector's stamp; ``None`` for a record of another producer.

    Raises:
        TypeError: a value has another type than its annotation.
        ValueError: an id is empty, a count is out of bounds, a time has no zone, or the stamp's
            event is ``delete``.
    """

    id: Name = attrs.field(converter=_name)
    created_at: Timestamp = attrs.field(converter=_time)
    account: Account = attrs.field(converter=_account)
    uri: str = attrs.field(default="", converter=_text)
    url: str | None = attrs.field(default=None, converter=_optional_text)
    edited_at: Timestamp | None = attrs.field(default=None, converter=_optional_time)
    content: str = attrs.field(default="", converter=_text)
    spoiler_text: str = attrs.field(default="", converter=_text)
    language: str | None = attrs.field(default=None, converter=_optional_text)
    visibility: str = attrs.field(default="public", converter=_text)
    sensitive: bool = attrs.field(default=False, converter=_flag)
    in_reply_to_id: Name | None = attrs.field(default=None, converter=_optional_name)
    replies_count: Count = attrs.field(default=0, converter=_count)
    reblogs_count: Count = attrs.field(default=0, converter=_count)
    favourites_count: Count = attrs.field(default=0, converter=_count)
    quotes_count: Count = attrs.field(default=0, converter=_count)
    tags: tuple[Tag, ...] = attrs.field(default=(), converter=_tags)
    mastostream: Stamp | None = attrs.field(default=None, converter=_stamp_of_post)
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
        TypeError: a value has another type than its annotation.
        ValueError: ``id`` is empty, or the stamp has another event.
    """

    id: Name = attrs.field(converter=_name)
    uri: str | None = attrs.field(default=None, converter=_optional_text)
    mastostream: Stamp = attrs.field(converter=_stamp_of_deletion)

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
