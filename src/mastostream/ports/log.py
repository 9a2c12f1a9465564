"""The log: topics of partitions of records, each with an offset.

What holds for every log: a record that ``append`` or ``commit`` has returned for is kept, whatever
happens to the process; records of one key keep their order; an offset is given once and rises.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import attrs

from mastostream.core.windows import WindowState

__all__ = [
    "Commit",
    "EngineLog",
    "Header",
    "LogReader",
    "LogWriter",
    "NewRecord",
    "Positions",
    "Progress",
    "Record",
    "TopicFacts",
]

Header = tuple[str, bytes]

Positions = Mapping[int, int]
"""Partition to the offset of the next record to read. A partition that is missing begins at its
first record."""


class NewRecord(NamedTuple):
    """A record to be appended.

    Attributes:
        topic: its topic; created at the first record.
        key: records of one key share a partition; ``None`` goes to any.
        value: the bytes, never null.
        headers: names with bytes, in order.
    """

    topic: str
    key: str | None
    value: bytes
    headers: tuple[Header, ...] = ()


class Record(NamedTuple):
    """A record as it was read.

    Attributes:
        timestamp_ms: when the log took it, milliseconds since the epoch.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str | None
    value: bytes
    headers: tuple[Header, ...] = ()


@attrs.frozen(kw_only=True)
class TopicFacts:
    """One partition of a topic.

    Attributes:
        first_offset: the oldest record that is kept.
        next_offset: the next record gets this one.
        size_bytes: of the values that are kept; ``None`` where the log does not say.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    size_bytes: int | None = None


class LogWriter(Protocol):
    """Appends records."""

    def append(self, records: Sequence[NewRecord]) -> None:
        """Append all of them, in their order; return once the log has confirmed them.

        Raises:
            RetriableError: not now (the disk is full, the log is away); nothing of the batch may
                count as written, and the same call may be made again: with the same list, a log
                that may still confirm it does not take it twice.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""


class LogReader(Protocol):
    """Reads one topic for one group of readers, from where the group's last commit stands.

    Where the log lets the readers of a group share the partitions, some may come and go while this
    one reads. Offsets rise, but not every one needs to be a record.
    """

    @property
    def lost(self) -> int:
        """How many records the log had deleted before this reader came to them."""

    @property
    def generation(self) -> int:
        """Rises when partitions have come or gone, during :meth:`read` only.

        Who keeps positions of its own then drops what was just read, and seeks.
        """

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next records, waiting up to ``timeout_s`` for the first; may be empty.

        Each partition's records come in the order of their offsets. The next call goes on after
        them, committed or not. With a time-out of 0 it returns fewer than ``max_records`` only
        where there was nothing more when it was called. With ``max_records`` of 0 it reads
        nothing, but keeps the reader's place in its group: to be called while the records at hand
        cannot be processed.

        Raises:
            RetriableError: not now.
        """

    def seek(self, positions: Positions) -> None:
        """Go on from here at the next read, in the partitions that are named and at hand."""

    def commit(self, positions: Positions) -> None:
        """Remember durably that all before these offsets is done.

        Partitions that have gone to another reader are left out: it does them again.

        Raises:
            RetriableError: not now.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far one analysis has come.

    Attributes:
        positions: where it reads on.
        windows: what it remembers; ``None`` for one that works post by post.
    """

    positions: Positions
    windows: WindowState | None = None


@attrs.frozen(kw_only=True)
class Commit:
    """What one step of the engine brings, to be stored as a whole or not at all.

    Attributes:
        records: the outputs.
        progress: the analyses that have moved on.
    """

    records: Sequence[NewRecord]
    progress: Mapping[str, Progress]


class EngineLog(Protocol):
    """The log as an engine uses it: one input topic, and commits that are all or nothing.

    Where several engines share the partitions, positions belong to the log: it restores none, and
    gives what no engine has committed yet.
    """

    @property
    def generation(self) -> int:
        """Rises when partitions come or go, the topic is another one, or a commit fails for good.

        The engine then forgets what it has not committed, and restores.
        """

    @property
    def lost(self) -> int:
        """How many records the log had deleted before this engine came to them."""

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        """Return how far each of these has come; those that never ran are left out."""

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return records from these positions on, as :meth:`LogReader.read` does.

        Where the generation has risen meanwhile there may be more than it returns.

        Raises:
            RetriableError: not now.
        """

    def commit(self, commit: Commit) -> None:
        """Store outputs, positions and windows in one transaction.

        Raises:
            RetriableError: not now; nothing was stored, and the same call may be made again.
        """

    def close(self) -> None:
        """Let go; a second call does nothing."""
