"""Turns what an analysis function returned into records of the log."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Final

import attrs
import msgspec

from mastostream.core.codec import encode
from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.core.models import Post
from mastostream.core.topic_names import DEAD_LETTERS
from mastostream.ports.log import NewRecord, Record

__all__ = [
    "Calls",
    "as_sequence",
    "dead_letter",
    "explain",
    "has_key",
    "is_one",
    "new_record",
    "to_record",
]


@attrs.define
class Calls:
    """The calls of a user's function.

    Attributes:
        what: what it is called for, such as ``posts``.
        done: how often it was called.
        failed: how often it raised.
        error: what it raised last; empty if it never did.
    """

    what: str
    done: int = 0
    failed: int = 0
    error: str = ""

    @property
    def complaint(self) -> str:
        """What is wrong if more than a tenth of the calls have failed; otherwise empty."""
        if self.failed * 10 <= self.done:
            return ""
        return (
            f"fails for {self.failed} of {self.done} {self.what} ({self.error}); they are dead "
            "letters, see 'mastostream dead-letters list'"
        )


new_record: Final = partial(tuple.__new__, NewRecord)
"""Makes a record from a tuple of all four members, in half the time of ``NewRecord(...)``."""


@cache
def is_one(kind: type) -> bool:
    """Whether a value of this type is one record, not several."""
    return (
        attrs.has(kind)
        or dataclasses.is_dataclass(kind)
        or issubclass(kind, (dict, str, bytes, int, float, msgspec.Struct))
        or not issubclass(kind, Iterable)
    )


@cache
def has_key(kind: type) -> bool:
    """Whether a value of this type is one record with a member ``key``; a post is not."""
    return attrs.has(kind) and hasattr(attrs.fields(kind), "key")


def as_sequence(result: object) -> Sequence[object]:
    """Return a function's result as a sequence of records: none, one, or several."""
    if result is None:
        return ()
    kind: type = type(result)
    if is_one(kind):
        return (result,)
    return tuple(result)  # type: ignore[arg-type]  # is_one checked that it is iterable


def to_record(
    topic: str, item: object, post: Post | None, raw: bytes, default_key: str = ""
) -> NewRecord:
    """Encode one result. A post that a function returns unchanged keeps its original bytes.

    Args:
        topic: the topic of the record.
        item: the result.
        post: the post that the result was made from; ``None`` for the result of a window.
        raw: the bytes of the post.
        default_key: the key of a result that has no ``key``, where ``post`` is ``None``; otherwise
            such a result gets the key of the post.

    Raises:
        TypeError, ValueError, RecursionError: the result has no JSON form.
    """
    if item is post and post is not None:
        return NewRecord(topic, post.key, raw)
    key = item.get("key") if isinstance(item, dict) else getattr(item, "key", None)
    if not isinstance(key, str):
        key = default_key if post is None else post.key
    return new_record((topic, key, encode(item), ()))


def explain(error: BaseException) -> str:
    """Describe in one line what a user's function raised, in at most 500 characters."""
    return f"{type(error).__name__}: {error}"[:500]


def dead_letter(record: Record, stage: str, reasons: Sequence[str], now_ms: int) -> NewRecord:
    """Make the dead letter of a record that could not be processed.

    Args:
        record: the record.
        stage: the stage that rejected it, such as ``analyze:engagement``.
        reasons: why it was rejected.
        now_ms: the time of the dead letter, in milliseconds since the epoch.
    """
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        stage=stage,
        reasons=tuple(reasons),
        time=datetime.fromtimestamp(now_ms / 1000, UTC),
        raw=record.value,
    )
    return NewRecord(DEAD_LETTERS, letter.origin, letter.raw, dead_letter_headers(letter))
