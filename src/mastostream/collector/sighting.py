"""What a collector needs to know of a status before it logs it."""

import hashlib
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import msgspec

from mastostream.core.metrics import to_ms
from mastostream.core.models import Event

__all__ = ["UNREADABLE", "KeyBy", "Sighting", "identify"]

UNREADABLE: Final = "unreadable:"
"""What the keys of bytes begin with that are no status."""

KeyBy = Literal["id", "uri"]
"""``id`` where one server is followed, ``uri`` where several are: each has ids of its own."""


class Sighting(NamedTuple):
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


class _Account(msgspec.Struct):
    acct: str = ""


class _Identity(msgspec.Struct):
    id: str | int
    uri: str | None = None
    created_at: str | None = None
    edited_at: str | None = None
    account: _Account | None = None
    reblog: "_Identity | None" = None


_decode: Final = msgspec.json.Decoder(_Identity).decode


def identify(
    raw: bytes, *, instance: str, key_by: KeyBy, event: Event, observed_ms: int
) -> Sighting:
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
    return Sighting(
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


def _ms(text: str | None) -> int | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return to_ms(time if time.tzinfo else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
