"""The log port: topics that consist of partitions, which hold records by offset.

Every log guarantees this: records are durable once ``append`` or ``commit`` has returned. Records
of one key keep their order. Offsets rise within a partition, and no offset is used twice.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import attrs

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
    "WindowChanges",
    "WindowStore",
]

Header = tuple[str, bytes]

Positions = Mapping[int, int]
"""The offset of the next record to read, by partition.

A partition that is missing is read from its first record.
"""


class NewRecord(NamedTuple):
    """A record to be appended.

    Attributes:
        topic: its topic, which the first record creates.
        key: its key; all records of one key go to one partition, those without a key to any.
        value: its content, never null.
        headers: pairs of a name and bytes, in their order.
    """

    topic: str
    key: str | None
    value: bytes
    headers: tuple[Header, ...] = ()


class Record(NamedTuple):
    """A record as it was read.

    Attributes:
        topic: its topic.
        partition: its partition.
        offset: its offset in the partition.
        timestamp_ms: when it was appended, milliseconds since the epoch.
        key: its key, if it has one.
        value: its content.
        headers: pairs of a name and bytes, in their order.
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
    """The extent of one partition.

    Attributes:
        topic: the topic.
        partition: the partition.
        first_offset: the offset of the oldest record that is kept.
        next_offset: the offset that the next record will get.
        size_bytes: the size of all values that are kept; ``None`` if the log does not say.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    size_bytes: int | None = None


class LogWriter(Protocol):
    """Appends records."""

    def append(self, records: Sequence[NewRecord]) -> None:
        """Append records in their order; return once the log has confirmed all of them.

        Raises:
            RetriableError: the log cannot be written now, for example because the disk is full
                or the log cannot be reached. Nothing of the batch may be counted as written, and
                the same call may be repeated. If it has the same list, a log that may still confirm
                the first call does not append the batch twice.
        """

    def close(self) -> None:
        """Release the connection; a second call does nothing."""


class LogReader(Protocol):
    """Reads one topic for one group of readers, from the offsets that the group has committed.

    Some logs let the readers of a group share the partitions: then partitions may be assigned or
    revoked while this one reads. Offsets rise, but some may belong to no record.
    """

    @property
    def lost(self) -> int:
        """The number of records that the log had deleted before this reader could read them."""

    @property
    def generation(self) -> int:
        """A number that rises when partitions are assigned or revoked, only during :meth:`read`.

        A caller that keeps positions of its own has to discard the records just read, and seek.
        """

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next records, waiting up to ``timeout_s`` for the first; may be empty.

        The records of a partition are in the order of their offsets. The next call continues after
        them, even if they are not committed. With a time-out of 0 it returns fewer than
        ``max_records`` only if the log held no more when it was called. With ``max_records`` 0 it
        reads nothing, but keeps the reader a member of its group: call it like this while the
        records at hand cannot be processed.

        Raises:
            RetriableError: the log cannot be read now.
        """

    def seek(self, positions: Positions) -> None:
        """Continue at these positions. Partitions that this reader does not have are left out."""

    def commit(self, positions: Positions) -> None:
        """Store durably that all records before these offsets are processed.

        Partitions that were revoked are left out: their new reader processes them again.

        Raises:
            RetriableError: the log cannot be written now.
        """

    def close(self) -> None:
        """Release the connection; a second call does nothing."""


@attrs.frozen(kw_only=True)
class WindowChanges:
    """What has changed in the windows of one analysis since its last commit.

    Attributes:
        posts: by key what is known of a post, as :func:`core.windows.encode_state` encodes it, and
            when the log took the record that changed it, milliseconds since the epoch; ``None``
            forgets the post.
        members: by start of a window and key of a post whether the window has the post.
        windows: by start whether a window has to be written (``True``), or was written and will not
            be corrected (``False``); ``None`` for neither.
    """

    posts: Mapping[str, tuple[bytes, int] | None] = attrs.field(factory=dict)
    members: Mapping[tuple[int, str], bool] = attrs.field(factory=dict)
    windows: Mapping[int, bool | None] = attrs.field(factory=dict)


class WindowStore(Protocol):
    """What is stored of the windows of one analysis: all :class:`WindowChanges` so far.

    Raises:
        RetriableError: the store cannot be read now; each method may raise it.
    """

    def posts(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return by key what is known of these posts, without those that are not known."""

    def window(self, start_ms: int) -> Mapping[str, bytes]:
        """Return by key what is known of the posts that a window has."""

    def windows(self) -> Mapping[int, bool]:
        """Return the windows of which something is noted, see :attr:`WindowChanges.windows`."""

    def unchanged_since(self, before_ms: int, most: int) -> Mapping[str, bytes]:
        """Return by key what is known of posts whose last change was before this time.

        Args:
            before_ms: a time of the log, milliseconds since the epoch.
            most: the largest number of posts.
        """


@attrs.frozen(kw_only=True)
class Progress:
    """The checkpoint of one analysis.

    Attributes:
        positions: the offsets to continue reading at.
        windows: what has changed in its windows; ``None`` for an analysis without windows.
    """

    positions: Positions
    windows: WindowChanges | None = None


@attrs.frozen(kw_only=True)
class Commit:
    """The result of one step of the engine, which is stored as a whole or not at all.

    Attributes:
        records: the output records.
        progress: the new checkpoints, by analysis.
    """

    records: Sequence[NewRecord]
    progress: Mapping[str, Progress]


class EngineLog(Protocol):
    """The log as an engine uses it: one input topic, and transactional commits.

    If several engines share the partitions, the log keeps the positions: it restores none, and
    returns the records that no engine has committed yet.
    """

    @property
    def generation(self) -> int:
        """A number that rises when the engine has to discard uncommitted work and restore.

        That is when partitions are assigned or revoked, when the topic was replaced by another, or
        when a commit has failed for good.
        """

    @property
    def lost(self) -> int:
        """The number of records that the log had deleted before this engine could read them."""

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        """Return the checkpoints of these analyses, without those that never ran.

        Their windows are in :meth:`windows`, and ``None`` here.
        """

    def windows(self, analysis: str) -> WindowStore:
        """Return what is stored of the windows of an analysis, until the generation rises."""

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return records from these positions on.

        The limit and the time-out are those of :meth:`LogReader.read`.

        If the generation has risen meanwhile, the log may hold more records than it returns.

        Raises:
            RetriableError: the log cannot be read now.
        """

    def commit(self, commit: Commit) -> None:
        """Store outputs, positions and windows in one transaction.

        Raises:
            RetriableError: the log cannot be written now. Nothing was stored, and the same call
                may be repeated.
        """

    def close(self) -> None:
        """Release the connection; a second call does nothing."""
