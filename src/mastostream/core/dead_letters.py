"""What could not be processed, with all that is needed to find the cause and to try again.

On the wire a dead letter is a record whose value is the original value, byte by byte; its headers
say where it came from and what was wrong.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import attrs

__all__ = ["DeadLetter", "dead_letter_headers", "dead_letter_of"]

MAX_REASONS: Final = 20
"""A status with a thousand wrong members needs no thousand headers."""


@attrs.frozen(kw_only=True)
class DeadLetter:
    """A record that one stage could not process.

    Attributes:
        topic: where the record stood.
        partition: likewise.
        offset: likewise.
        key: the record's key.
        stage: who gave up: ``analyze:engagement``, ``index``...
        reasons: why, each for a person, at most 20.
        time: when, UTC.
        raw: the original bytes.
    """

    topic: str
    partition: int
    offset: int
    key: str | None
    stage: str
    reasons: tuple[str, ...]
    time: datetime
    raw: bytes

    @property
    def origin(self) -> str:
        """The key of the dead letter: ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def dead_letter_headers(letter: DeadLetter) -> tuple[tuple[str, bytes], ...]:
    """Return all but the original bytes as headers, each name once; a line for each reason."""
    reasons = [" ".join(reason.splitlines()) for reason in letter.reasons[:MAX_REASONS]]
    named = [
        ("topic", letter.topic),
        ("partition", str(letter.partition)),
        ("offset", str(letter.offset)),
        *([] if letter.key is None else [("key", letter.key)]),
        ("stage", letter.stage),
        ("time", letter.time.isoformat()),
        ("reason", "\n".join(reasons)),
    ]
    return tuple((name, text.encode("utf-8", "replace")) for name, text in named)


def dead_letter_of(value: bytes, headers: Iterable[tuple[str, bytes]]) -> DeadLetter:
    """Read a dead letter; what another producer left out is empty."""
    single: dict[str, str] = {}
    reasons = []
    for name, data in headers:
        text = data.decode("utf-8", "replace")
        if name == "reason":
            reasons += text.splitlines()
        else:
            single[name] = text
    try:
        time = datetime.fromisoformat(single.get("time", ""))
    except ValueError:
        time = datetime.fromtimestamp(0, UTC)
    return DeadLetter(
        topic=single.get("topic", ""),
        partition=_number(single.get("partition")),
        offset=_number(single.get("offset")),
        key=single.get("key"),
        stage=single.get("stage", ""),
        reasons=tuple(reasons),
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
        raw=value,
    )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1
