"""How each member of a status is read if a server does not send it as Mastodon documents it.

Servers of other software and of other ages leave members out, or send them as null, as text, as a
number, or as what their language makes of an empty value. A member that can be repaired is
repaired. Otherwise it is left out: the post counts without it, as if the server had not sent it.
Only a post that has no id, no author or no time of creation is rejected.

The tables of this module are what ``decode`` does; :func:`table` is the same in words, for the
documentation.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from mastostream.core.models import (
    EVENTS,
    MAX_COUNT,
    Account,
    Post,
    Stamp,
    Tag,
    to_utc,
)

__all__ = ["ACCOUNT", "DELETION", "POST", "STAMP", "Member", "json_type", "read_members", "table"]

Reader = Callable[[Any], Any]
"""Returns the model's value for a JSON value that is not null, or raises ``ValueError``."""


@attrs.frozen(kw_only=True)
class Member:
    """How one member of a JSON object is read.

    Attributes:
        read: reads the value.
        repaired: in words, which values are taken beside the documented ones.
        needed: whether the whole record is rejected without a usable value. If the model has a
            default, the member may be missing.
        wrong: the value of the model where the server sent one that cannot be read; ``None`` for
            the value of a post without this member.
    """

    read: Reader
    repaired: str = ""
    needed: bool = False
    wrong: str | None = None


def json_type(value: object) -> str:
    """Return the name of a JSON value's type, for a message."""
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def read_members(
    value: object, members: Mapping[str, Member], path: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the members that a model is made of, and the reasons why they do not suffice.

    Args:
        value: a JSON value, an object if all is well.
        members: how each member is read.
        path: JSON path of the value.
    """
    if not isinstance(value, dict):
        return {}, [f"{path}: expected object, got {json_type(value)}"]
    found: dict[str, Any] = {}
    reasons: list[str] = []
    for name, member in members.items():
        sent = value.get(name)
        if sent is None:
            if member.needed:
                reasons.append(f"{path}.{name}: missing")
            continue
        try:
            found[name] = member.read(sent)
        except ValueError as error:
            if member.needed:
                reasons.append(f"{path}.{name}: {error}")
            elif member.wrong is not None:
                found[name] = member.wrong
    return found, reasons


def _expected(expected: str, value: object) -> ValueError:
    return ValueError(f"expected {expected}, got {json_type(value)}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _expected("str", value)
    return value


def _name(value: object) -> str:
    name = _text(value)
    if not name:
        raise ValueError("expected a name, got an empty string")
    return name


def _id(value: object) -> str:
    return str(value) if type(value) is int else _name(value)


def _reply_id(value: object) -> str:
    if value == 0:  # what PHP makes of an empty value
        raise _expected("str", value)
    return _id(value)


def _flag(value: object) -> bool:
    spellings = {True: True, False: False, "true": True, "false": False}  # 1 == True in Python
    if not isinstance(value, (bool, int, str)) or value not in spellings:
        raise _expected("bool", value)
    return spellings[value]


_WHOLE: Final = re.compile(r"[0-9]{1,13}")


def _count(value: object) -> int:
    number = value
    if isinstance(number, str):
        number = int(number) if _WHOLE.fullmatch(number) else None
    elif isinstance(number, float):
        number = int(number) if number.is_integer() else None
    if type(number) is not int or not 0 <= number <= MAX_COUNT:
        raise ValueError(f"expected a count from 0 to {MAX_COUNT}")
    return number


# The last second of some days, and midnight as the end of a day: RFC 3339 and ISO 8601 have them;
# Python's parser does not take them, or not in all versions.
_LEAP_SECOND: Final = re.compile(r"(?<=[T ][0-9]{2}:[0-9]{2}:)60")
_END_OF_DAY: Final = re.compile(r"(?<=[T ])24(?=:00(:00(\.0+)?)?([Z+-]|$))")
_LONGEST_TIME: Final = 100


def _time(value: object) -> datetime:
    """Parse ISO 8601 in any spelling, or the format of e-mail, which GNU social uses.

    A time without a zone is taken for UTC.
    """
    if not isinstance(value, str):
        raise _expected("a time", value)
    time = _parse_time(value.strip()) if len(value) <= _LONGEST_TIME else None
    if time is None:
        raise ValueError(f"expected a time, got {value[:40]!r}")
    return time


def _parse_time(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 5 ms, and few need it

    if text.isdigit() and len(text) != len("20240131"):
        return None  # seconds since an epoch; the parser would take the first digits for a date
    iso, leap_seconds = _LEAP_SECOND.subn("59", text.upper())
    iso, more_days = _END_OF_DAY.subn("00", iso)
    for parse, spelling in ((datetime.fromisoformat, iso), (parsedate_to_datetime, text)):
        try:
            time = parse(spelling)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        time = to_utc(time.replace(tzinfo=UTC) if time.tzinfo is None else time)
        try:
            return time + timedelta(days=more_days, seconds=leap_seconds)
        except OverflowError:
            return None
    return None


def _tags(value: object) -> tuple[Tag, ...]:
    if isinstance(value, dict) and all(map(str.isdecimal, value)):
        value = list(value.values())
    if not isinstance(value, list):
        raise _expected("array", value)
    return tuple(_tags_in(value))


def _tags_in(items: list[object]) -> Iterator[Tag]:
    for item in items:
        name = item.get("name") if isinstance(item, dict) else item
        if isinstance(name, str):
            yield Tag(name=name)


def _event(value: object) -> object:
    if value not in EVENTS:
        raise ValueError(f"expected one of {', '.join(EVENTS)}")
    return value


_AS_TIME: Final = (
    "ISO 8601 in any spelling, or the format of e-mail; without a zone it is taken for UTC"
)
_AS_COUNT: Final = 'a whole number as text (`"12"`) or as a float (`3.0`)'
_AS_FLAG: Final = '`0`, `1`, `"true"`, `"false"`'
_AS_ID: Final = "a whole number becomes its digits"

_ID: Final = Member(read=_id, repaired=_AS_ID, needed=True)
_TEXT: Final = Member(read=_text)
_COUNT: Final = Member(read=_count, repaired=_AS_COUNT)
_FLAG: Final = Member(read=_flag, repaired=_AS_FLAG)

POST: Final[Mapping[str, Member]] = {
    "id": _ID,
    "created_at": Member(read=_time, repaired=_AS_TIME, needed=True),
    "uri": _TEXT,
    "url": _TEXT,
    "edited_at": Member(read=_time, repaired="as `created_at`"),
    "content": _TEXT,
    "spoiler_text": _TEXT,
    "language": _TEXT,
    "visibility": Member(read=_text, wrong=""),
    "sensitive": _FLAG,
    "in_reply_to_id": Member(read=_reply_id, repaired=f"{_AS_ID}, but for `0`"),
    "replies_count": _COUNT,
    "reblogs_count": _COUNT,
    "favourites_count": _COUNT,
    "quotes_count": _COUNT,
    "tags": Member(
        read=_tags,
        repaired="an object whose members are numbered, as PHP writes an array with gaps; a text "
        "becomes a hashtag of this name; a hashtag without a name is left out",
    ),
}
"""The members of a status, but for ``account`` and ``mastostream``, which are objects."""

ACCOUNT: Final[Mapping[str, Member]] = {
    "acct": Member(read=_name, repaired="missing or empty: `username`", needed=True),
    "id": Member(read=_id, repaired=_AS_ID),
    "username": _TEXT,
    "display_name": _TEXT,
    "url": _TEXT,
    "bot": _FLAG,
    "noindex": _FLAG,
}
"""The members of the member ``account`` of a status."""

STAMP: Final[Mapping[str, Member]] = {
    "key": Member(read=_name, needed=True),
    "event": Member(read=_event, needed=True),  # missing: `new`
    "instance": _TEXT,
    "observed_at": Member(read=_time, repaired="as `created_at`", needed=True),
}
"""The members of the member ``mastostream``, which the collector writes and no server sends."""

DELETION: Final[Mapping[str, Member]] = {"id": _ID, "uri": _TEXT}
"""The members of a deletion, but for ``mastostream``."""


def table() -> list[str]:
    """Return the rows of the table in ``docs/data.md``: one for each member, in Markdown."""
    rejected = "rejected"
    rows = _rows("", POST, Post)
    rows.append(f"| `account` | | {rejected} | {rejected} |")
    rows += _rows("account.", ACCOUNT, Account)
    rows.append("| `reblog` | | `null` | `null` |")
    rows.append(f"| `mastostream` | | `null` | {rejected} |")
    rows += _rows("mastostream.", STAMP, Stamp)
    return rows


def _rows(prefix: str, members: Mapping[str, Member], model: type) -> list[str]:
    defaults = {field.name: field.default for field in attrs.fields(model)}
    rows = []
    for name, member in members.items():
        missing = wrong = "rejected"
        if not member.needed:
            missing = wrong = f"`{json.dumps(defaults[name])}`"
        elif defaults[name] is not attrs.NOTHING:
            missing = f"`{json.dumps(defaults[name])}`"
        if member.wrong is not None:
            wrong = f"`{json.dumps(member.wrong)}`"
        rows.append(f"| `{prefix}{name}` | {member.repaired} | {missing} | {wrong} |")
    return [row.replace("|  |", "| |") for row in rows]
