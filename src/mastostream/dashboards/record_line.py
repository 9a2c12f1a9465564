"""Says on one line what a record of the log is, safe to print in a terminal."""

import json
from typing import Final

from mastostream.core.codec import decode
from mastostream.core.dead_letters import dead_letter_of
from mastostream.core.models import Deletion, Post
from mastostream.core.time import from_ms
from mastostream.dashboards.text import safe, safe_text
from mastostream.ports.log import Record

__all__ = ["record_line"]

_KNOWN: Final = frozenset({"key", "observed_at"})
"""Members of a result that are left out: the key and the time are at the start of the line."""


def record_line(record: Record) -> str:
    """Return when a record was appended, its partition and offset, its key, and what it is.

    A post is told by its account, text and counts, a result by its members, a dead letter by its
    stage and reasons, anything else by its bytes. The line has at most 500 characters.
    """
    time = f"{from_ms(record.timestamp_ms):%Y-%m-%d %H:%M:%S}"
    key = "" if record.key is None else f" {record.key}"
    return safe(f"{time} {record.partition}/{record.offset}{key}: {_content(record)}")


def _content(record: Record) -> str:
    if any(name == "reason" for name, _ in record.headers):
        letter = dead_letter_of(record.value, record.headers)
        return f"{letter.stage} gave up on {letter.origin}: {'; '.join(letter.reasons)}"
    item = decode(record.value)
    if isinstance(item, Post):
        return (
            f"{item.event} post by {item.account.acct}: {safe_text(item.content)} "
            f"({item.replies_count} replies, {item.reblogs_count} boosts, "
            f"{item.favourites_count} favourites)"
        )
    if isinstance(item, Deletion):
        return "deletion"
    try:
        members = json.loads(record.value)
    except (ValueError, RecursionError):
        members = None
    if isinstance(members, dict):
        return ", ".join(
            f"{name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in members.items()
            if name not in _KNOWN
        )
    return record.value.decode("utf-8", "replace")
