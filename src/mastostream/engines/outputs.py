"""From what a function returned to records of the log."""

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

__all__ = ["dead_letter", "each", "explain", "has_key", "is_one", "new_record", "to_record"]


new_record: Final = partial(tuple.__new__, NewRecord)
"""A record of all its members; half the time of ``NewRecord(...)``."""


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
    """Whether a value of this type is one record with a member ``key``, and no post."""
    return attrs.has(kind) and hasattr(attrs.fields(kind), "key")


def each(result: object) -> Sequence[object]:
    """Return the records that a function's result stands for."""
    if result is None:
        return ()
    kind: type = type(result)
    if is_one(kind):
        return (result,)
    return tuple(result)  # type: ignore[arg-type]  # what is not one is iterable


def to_record(
    topic: str, item: object, post: Post | None, raw: bytes, default_key: str = ""
) -> NewRecord:
    """Encode one result; a post that a function passed on keeps the bytes that it came in.

    Args:
        topic: where it goes.
        item: the result.
        post: what it was made of, if it was one post.
        raw: the post's bytes.
        default_key: of a result that names none; the post's where there is a post.

    Raises:
        TypeError, ValueError, RecursionError: it has no JSON form.
    """
    if item is post and post is not None:
        return NewRecord(topic, post.key, raw)
    key = item.get("key") if isinstance(item, dict) else getattr(item, "key", None)
    if not isinstance(key, str):
        key = default_key if post is None else post.key
    return new_record((topic, key, encode(item), ()))


def explain(error: BaseException) -> str:
    """Say in one line what a user's function raised."""
    return f"{type(error).__name__}: {error}"[:500]


def dead_letter(record: Record, stage: str, reasons: Sequence[str], now_ms: int) -> NewRecord:
    """Make a dead letter of a record."""
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
