"""What is to be remembered of a record of the log."""

from typing import Final

import msgspec

from mastostream.collector.memory import Trace
from mastostream.collector.sighting import identify
from mastostream.core.metrics import to_ms
from mastostream.core.models import Stamp
from mastostream.ports.log import Record

__all__ = ["trace_of"]


class _Head(msgspec.Struct):
    mastostream: Stamp | None = None


_decode: Final = msgspec.json.Decoder(_Head).decode


def trace_of(record: Record) -> Trace | None:
    """Return what is to be remembered; ``None`` for a record without a key.

    One that another producer wrote is taken as a post that was seen when the log took it.
    """
    try:
        stamp = _decode(record.value).mastostream
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        stamp = None
    key = record.key if stamp is None else stamp.key
    if key is None:
        return None
    seen_ms = record.timestamp_ms if stamp is None else to_ms(stamp.observed_at)
    instance = "" if stamp is None else stamp.instance
    event = "new" if stamp is None else stamp.event
    seen = identify(record.value, instance=instance, key_by="id", event=event, observed_ms=seen_ms)
    return Trace(key, event, instance, seen.post_id, seen_ms, seen.edited_ms)
