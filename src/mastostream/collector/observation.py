"""The members of a status that the collector needs, as a server sends it or as the log holds it."""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, Literal, NamedTuple

import msgspec

from mastostream.core.members import POST, read_members
from mastostream.core.models import Event, Stamp
from mastostream.core.time import to_ms
from mastostream.ports.log import Record

__all__ = [
    "UNREADABLE",
    "KeyBy",
    "Observation",
    "PostState",
    "SeenEntry",
    "identify",
    "seen_entry_of",
]

UNREADABLE: Final = "unreadable:"
"""Prefix of the keys of bytes that are no status."""

KeyBy = Literal["id", "uri"]
"""The member of a status that is its key.

``id`` serves if all posts come from one server. If there are several servers it has to be ``uri``,
because every server gives a post an id of its own.
"""


class Observation(NamedTuple):
    """A status as one server has shown it. All times are milliseconds since the epoch.

    Attributes:
        raw: the status exactly as it was sent: one JSON object.
        id: its id in the timeline; for a boost, the id of the boost.
        post_id: the post's id on that server; for a boost, the id of the boosted post.
        key: the post's key.
        event: the event to log it as; ``new`` is logged only if the post is not known yet.
        instance: the server.
        observed_ms: when it was received.
        created_ms: when it was written; ``None`` if that cannot be read.
        edited_ms: when it was last edited; 0 for never.
        is_local: whether the author's account is on that server, which then knows its counts best.
    """

    raw: bytes
    id: str
    post_id: str
    key: str
    event: Event
    instance: str
    observed_ms: int
    created_ms: int | None = None
    edited_ms: int = 0
    is_local: bool = False


class PostState(IntEnum):
    """How the collector has dealt with a post. A state is only ever replaced by a higher one."""

    LOGGED = 0
    LEFT_OUT = 1
    DELETED = 2


class SeenEntry(NamedTuple):
    """What the state store keeps about a record. Times are milliseconds since the epoch.

    Attributes:
        key: the post's key.
        event: the record's event.
        server: the server that showed the post.
        id: the post's id on that server.
        seen_ms: when it was observed; this is the version of the record.
        edited_ms: when the post was last edited; 0 for never.
        left_out: whether the post was left out of the log.
    """

    key: str
    event: Event
    server: str
    id: str
    seen_ms: int
    edited_ms: int = 0
    left_out: bool = False

    @property
    def state(self) -> PostState:
        """The state that the post has after this record."""
        if self.event == "delete":
            return PostState.DELETED
        return PostState.LEFT_OUT if self.left_out else PostState.LOGGED


class _Account(msgspec.Struct):
    acct: str = ""


class _Identity(msgspec.Struct):
    id: str | int
    uri: str | None = None
    created_at: str | None = None
    edited_at: str | None = None
    account: _Account | None = None
    reblog: "_Identity | None" = None


class _Stamped(msgspec.Struct):
    mastostream: Stamp | None = None


_MEMBERS: Final = {name: POST[name] for name in ("id", "uri", "created_at", "edited_at")}
_decode: Final = msgspec.json.Decoder(_Identity).decode
_decode_stamp: Final = msgspec.json.Decoder(_Stamped).decode


def identify(
    raw: bytes, *, instance: str, key_by: KeyBy, event: Event, observed_ms: int
) -> Observation:
    """Read the id, key and times of a status. Never raises.

    Bytes that are no status get a key made of their hash: they go into the log as they are, and the
    engine turns them into a dead letter.
    """
    identity = _identity(raw)
    post = identity.reblog or identity
    key = post.uri if key_by == "uri" and post.uri else str(post.id)
    if not key:
        key = f"{UNREADABLE}{hashlib.sha256(raw).hexdigest()}"
    return Observation(
        raw,
        str(identity.id) or key,
        str(post.id) or key,
        key,
        event,
        instance,
        observed_ms,
        _ms(post.created_at),
        _ms(post.edited_at) or 0,
        post.account is not None and bool(post.account.acct) and "@" not in post.account.acct,
    )


def _identity(raw: bytes) -> _Identity:
    """Read what ``decode`` would read: a wrong member that nobody needs is no wrong status."""
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeError):
        return _decode(raw)
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeError):
        status = msgspec.json.decode(raw)
        if isinstance(status, dict):
            return _repaired(status)
    return _Identity(id="")


def _repaired(status: dict[str, Any]) -> _Identity:
    found, _ = read_members(status, _MEMBERS, "$")
    times = {name: value.isoformat() for name, value in found.items() if name.endswith("_at")}
    account, boosted = status.get("account"), status.get("reblog")
    acct = account.get("acct") if isinstance(account, dict) else None
    return _Identity(
        id=found.get("id", ""),
        uri=found.get("uri"),
        account=_Account(acct=acct) if isinstance(acct, str) else None,
        reblog=_repaired(boosted) if boosted and isinstance(boosted, dict) else None,
        **times,
    )


def seen_entry_of(record: Record) -> SeenEntry | None:
    """Return the state store's entry for a record; ``None`` for a record without a key.

    A record of another producer counts as a new post, observed at the record's timestamp.
    """
    try:
        stamp = _decode_stamp(record.value).mastostream
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        stamp = None
    key = record.key if stamp is None else stamp.key
    if key is None:
        return None
    seen_ms = record.timestamp_ms if stamp is None else to_ms(stamp.observed_at)
    instance = "" if stamp is None else stamp.instance
    event = "new" if stamp is None else stamp.event
    observation = identify(
        record.value, instance=instance, key_by="id", event=event, observed_ms=seen_ms
    )
    return SeenEntry(key, event, instance, observation.post_id, seen_ms, observation.edited_ms)


def _ms(text: str | None) -> int | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return to_ms(time if time.tzinfo else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    try:
        return to_ms(POST["created_at"].read(text))
    except ValueError:
        return None
