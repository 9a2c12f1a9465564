"""Dead letters: records that could not be processed, with what is needed to find out why and retry.

A dead letter in the log is a record whose value is the original value, byte by byte; its headers
say where the original record was and what was wrong with it.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import attrs

__all__ = [
    "DeadLetter",
    "dead_letter_headers",
    "dead_letter_matches",
    "dead_letter_of",
    "reason_kind",
]

MAX_REASONS: Final = 20
"""Upper bound of reasons in one dead letter: a status may have a thousand wrong members."""

_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER: Final = re.compile(r"\d+")


@attrs.frozen(kw_only=True)
class DeadLetter:
    """A record that one stage could not process.

    Attributes:
        topic: topic of the record.
        partition: partition of the record; -1 where it is not known.
        offset: offset of the record; -1 where it is not known.
        key: key of the record.
        stage: name of the stage that gave up: ``analyze:engagement``, ``index``...
        reasons: what was wrong, in English; at most 20 are written.
        time: time at which the stage gave up, UTC.
        raw: value of the record, as it was.
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
    """Return the headers of a dead letter in the log, each name once.

    All attributes but ``raw`` are there. The header ``reason`` has one line for each reason.
    """
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
    """Return the dead letter that a record contains.

    Headers that another producer left out become empty text, -1, ``None`` for the key, or
    1970-01-01 for the time.

    Args:
        value: the record's value.
        headers: the record's headers; ``reason`` may occur several times.
    """
    texts: dict[str, str] = {}
    reasons = []
    for name, data in headers:
        text = data.decode("utf-8", "replace")
        if name == "reason":
            reasons += text.splitlines()
        else:
            texts[name] = text
    try:
        time = datetime.fromisoformat(texts.get("time", ""))
    except ValueError:
        time = datetime.fromtimestamp(0, UTC)
    return DeadLetter(
        topic=texts.get("topic", ""),
        partition=_number(texts.get("partition")),
        offset=_number(texts.get("offset")),
        key=texts.get("key"),
        stage=texts.get("stage", ""),
        reasons=tuple(reasons),
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
        raw=value,
    )


def dead_letter_matches(
    letter: DeadLetter,
    *,
    stage: str | None = None,
    reason: str | None = None,
    since: datetime | None = None,
) -> bool:
    """Whether a dead letter is one of those that are asked for; ``None`` asks for all.

    Args:
        letter: the dead letter.
        stage: the name of its stage, or the part before the colon: ``analyze`` stands for the
            stages of all analyses.
        reason: text that one of its reasons contains; upper and lower case are the same.
        since: the earliest time at which the stage gave up.
    """
    return (
        (stage is None or letter.stage == stage or letter.stage.startswith(f"{stage}:"))
        and (reason is None or any(reason.lower() in text.lower() for text in letter.reasons))
        and (since is None or letter.time >= since)
    )


def reason_kind(letter: DeadLetter) -> str:
    """Return the first reason without what differs from record to record: numbers, quoted text."""
    first = letter.reasons[0] if letter.reasons else ""
    return _NUMBER.sub("N", _QUOTED.sub("'...'", first))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1
