"""What the collector reads of a status: as a server shows it, and as the log holds it."""

import hashlib
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, Literal, NamedTuple

import msgspec

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
"""What the keys of bytes begin with that are no status."""

KeyBy = Literal["id", "uri"]
"""``id`` where one server is followed, ``uri`` where several are: each has ids of its own."""


class Observation(NamedTuple):
    """A status that a server has shown.

    Attributes:
        raw: the status exactly as it was sent: one JSON object.
        id: its id in the timeline; of a boost, the wrapper's.
        post_id: the post's id on that server; of a boost, the boosted post's.
        key: the post's key.
        event: what it is taken for; ``new`` is no news of a known post.
        instance: the server.
        observed_ms: when it was read.
        created_ms: when it was written, where that can be read.
        edited_ms: when it was last edited; 0 for never.
        is_local: whether its author lives on that server, which then knows its counts best.
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
    """What became of a post. The highest stays."""

    LOGGED = 0
    LEFT_OUT = 1
    DELETED = 2


class SeenEntry(NamedTuple):
    """What is to be remembered of a record.

    Attributes:
        key: the post's key.
        event: what the record says of it.
        server: who showed it.
        id: its id there.
        seen_ms: its version.
        edited_ms: 0 for never.
        left_out: that it was not logged.
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
        """What becomes of the post."""
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


_decode: Final = msgspec.json.Decoder(_Identity).decode
_decode_stamp: Final = msgspec.json.Decoder(_Stamped).decode


def identify(
    raw: bytes, *, instance: str, key_by: KeyBy, event: Event, observed_ms: int
) -> Observation:
    """Read of a status what has to be known of it. Never raises.

    Bytes that are no status get a key of their own: they go into the log as they are, and become
    a dead letter there.
    """
    try:
        identity = _decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        identity = _Identity(id="")
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


def seen_entry_of(record: Record) -> SeenEntry | None:
    """Return what is to be remembered; ``None`` for a record without a key.

    One that another producer wrote is taken as a post that was seen when the log took it.
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
    seen = identify(record.value, instance=instance, key_by="id", event=event, observed_ms=seen_ms)
    return SeenEntry(key, event, instance, seen.post_id, seen_ms, seen.edited_ms)


def _ms(text: str | None) -> int | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return to_ms(time if time.tzinfo else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
