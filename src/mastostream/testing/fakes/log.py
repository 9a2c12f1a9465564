"""An in-memory fake of a log, with its writer, reader and engine log."""

import heapq
import threading
import zlib
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final, TypeVar

import attrs

from mastostream.ports.clock import Clock
from mastostream.ports.log import (
    Commit,
    NewRecord,
    Positions,
    Progress,
    Record,
    WindowChanges,
)
from mastostream.testing.fakes.clock import FakeClock
from mastostream.testing.fakes.failures import Failures

__all__ = ["FakeEngineLog", "FakeLog", "FakeLogReader", "FakeLogWriter", "FakeWindowStore"]

_Name = TypeVar("_Name", str, int)
_Value = TypeVar("_Value")
_BY_TIME: Final = attrgetter("timestamp_ms")


@attrs.define
class _Partition:
    """One partition of a topic.

    Attributes:
        records: the records that are kept, in order of their offsets.
        next_offset: the offset that the next record gets.
    """

    records: list[Record] = attrs.field(factory=list)
    next_offset: int = 0

    def since(self, offset: int, most: int | None = None) -> list[Record]:
        """Return the records from an offset on, at most ``most`` of them."""
        first_offset = self.next_offset - len(self.records)
        begin = max(0, offset - first_offset)
        return self.records[begin : None if most is None else begin + most]


class FakeLog:
    """A log with any number of topics. Its records are kept as long as this object.

    A topic is made by the first record that is appended to it.
    """

    def __init__(self, *, partitions: int = 1, clock: Clock | None = None) -> None:
        """Make a log without topics.

        Args:
            partitions: the number of partitions of each topic.
            clock: gives records their timestamps. A reader that waits for records waits on it. By
                default a new :class:`FakeClock`.
        """
        self.clock = clock or FakeClock()
        self._count = partitions
        self._topics: dict[str, list[_Partition]] = {}
        self._committed: dict[tuple[str, str], dict[int, int]] = {}
        self._windows: dict[str, FakeWindowStore] = {}

    def writer(self) -> "FakeLogWriter":
        """Return a new :class:`mastostream.ports.log.LogWriter` of this log."""
        return FakeLogWriter(self)

    def reader(self, topic: str, group: str) -> "FakeLogReader":
        """Return a new :class:`mastostream.ports.log.LogReader` of one topic for one group."""
        return FakeLogReader(self, topic, group)

    def engine(self, topic: str) -> "FakeEngineLog":
        """Return a new :class:`mastostream.ports.log.EngineLog` whose input is this topic."""
        return FakeEngineLog(self, topic)

    def append(self, topic: str, *values: bytes, key: str | None = None) -> None:
        """Append values as records with this key. Injected failures do not affect it."""
        self.take([NewRecord(topic, key, value) for value in values])

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic that are kept, partition by partition."""
        partitions = self._topics.get(topic, ())
        return [record for partition in partitions for record in partition.records]

    def committed(self, topic: str, group: str) -> dict[int, int]:
        """Return the positions that a group of readers, or an engine for an analysis, committed."""
        return dict(self._committed.get((topic, group), {}))

    def delete_before(self, topic: str, positions: Positions) -> None:
        """Delete the records before these positions, as retention does."""
        for number, offset in positions.items():
            partition = self._topics[topic][number]
            partition.records = partition.since(offset)

    def take(self, records: Sequence[NewRecord]) -> None:
        """Append records, each to the partition of its key.

        A record without a key goes to the partition with the lowest end offset.
        """
        timestamp_ms = self.clock.now_ms()
        for topic, key, value, headers in records:
            partitions = self._topics.setdefault(topic, [_Partition() for _ in range(self._count)])
            number = self._partition_of(key, partitions)
            partition = partitions[number]
            offset = partition.next_offset
            partition.records.append(
                Record(topic, number, offset, timestamp_ms, key, value, headers)
            )
            partition.next_offset = offset + 1

    def look(
        self, topic: str, positions: Positions, max_records: int, timeout_s: float
    ) -> list[Record]:
        """Return the next records of some partitions, merged by timestamp.

        Args:
            topic: the topic.
            positions: the next offset of each partition that is read.
            max_records: the largest number of records.
            timeout_s: how long to wait, once, if there are no records, seconds.
        """
        records = self._look(topic, positions, max_records)
        if not records and max_records and timeout_s > 0:
            self.clock.wait(threading.Event(), timeout_s)
            records = self._look(topic, positions, max_records)
        return records

    def partitions(self) -> range:
        """Return the numbers of the partitions of each topic."""
        return range(self._count)

    def store_positions(self, topic: str, group: str, positions: Positions) -> None:
        """Store the positions that a group has committed."""
        self._committed.setdefault((topic, group), {}).update(positions)

    def windows(self, analysis: str) -> "FakeWindowStore":
        """Return what is stored of the windows of an analysis."""
        return self._windows.setdefault(analysis, FakeWindowStore())

    def _partition_of(self, key: str | None, partitions: Sequence[_Partition]) -> int:
        if key is None:  # the partition with the fewest records
            return min(self.partitions(), key=lambda number: partitions[number].next_offset)
        return zlib.crc32(key.encode()) % self._count

    def _look(self, topic: str, positions: Positions, max_records: int) -> list[Record]:
        partitions = self._topics.get(topic, ())
        streams = [
            partition.since(positions[number], max_records)
            for number, partition in enumerate(partitions)
            if number in positions
        ]
        return list(islice(heapq.merge(*streams, key=_BY_TIME), max_records))


class FakeLogWriter:
    """A fake :class:`mastostream.ports.log.LogWriter`.

    Attributes:
        failures: the failures of ``append``. An ``append`` that fails after its work has stored the
            batch; if the same list object is appended again, it is not stored twice.
        attempts: the list of each call of ``append``, in order.
        closed: whether the writer was closed.
    """

    def __init__(self, log: FakeLog) -> None:
        self.failures = Failures("append")
        self.attempts: list[Sequence[NewRecord]] = []
        self.closed = False
        self._log = log
        self._unconfirmed: Sequence[NewRecord] | None = None

    def append(self, records: Sequence[NewRecord]) -> None:
        self.attempts.append(records)
        with self.failures.around("append"):
            if records is not self._unconfirmed:
                self._log.take(records)
                self._unconfirmed = records
        self._unconfirmed = None

    def close(self) -> None:
        self.closed = True


class FakeLogReader:
    """A fake :class:`mastostream.ports.log.LogReader`. It has all partitions until :meth:`assign`.

    Attributes:
        failures: the failures of ``read``, of ``keep_place`` (a ``read`` with ``max_records`` 0)
            and of ``commit``.
        asked: the arguments of each ``read``: ``max_records`` and ``timeout_s``.
        closed: whether the reader was closed.
    """

    def __init__(self, log: FakeLog, topic: str, group: str) -> None:
        self.failures = Failures("read", "keep_place", "commit")
        self.asked: list[tuple[int, float]] = []
        self.closed = False
        self.topic = topic
        self.group = group
        self._log = log
        self._lost = 0
        self._generation = 0
        self._assigned: frozenset[int] | None = None  # takes effect with the next read
        # Partitions with a known start position: a gap before their next record counts as lost.
        self._positioned: set[int] = set()
        self._positions: dict[int, int] = {}
        self._take_over(log.partitions())

    @property
    def lost(self) -> int:
        return self._lost

    @property
    def generation(self) -> int:
        return self._generation

    def assign(self, *partitions: int) -> None:
        """Assign these partitions from the next ``read`` on, as a rebalance does.

        The reader can no longer commit positions of other partitions. A test that assigns a
        partition to one reader of a group has to take it from the other readers of the group.
        """
        if set(partitions) != set(self._assigned_partitions()):
            self._assigned = frozenset(partitions)

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.asked.append((max_records, timeout_s))
        with self.failures.around("read" if max_records else "keep_place"):
            if self._assigned is not None:
                self._take_over(self._assigned)
                self._assigned = None
                self._generation += 1
            records = self._log.look(self.topic, self._positions, max_records, timeout_s)
        for record in records:
            if record.partition in self._positioned:
                self._lost += record.offset - self._positions[record.partition]
            self._positioned.add(record.partition)
            self._positions[record.partition] = record.offset + 1
        return records

    def seek(self, positions: Positions) -> None:
        own = {
            partition: offset
            for partition, offset in positions.items()
            if partition in self._positions
        }
        self._positions.update(own)
        self._positioned.update(own)

    def commit(self, positions: Positions) -> None:
        with self.failures.around("commit"):
            assigned = self._assigned_partitions()
            own = {
                partition: offset
                for partition, offset in positions.items()
                if partition in assigned
            }
            self._log.store_positions(self.topic, self.group, own)

    def close(self) -> None:
        self.closed = True

    def _assigned_partitions(self) -> frozenset[int]:
        return frozenset(self._positions) if self._assigned is None else self._assigned

    def _take_over(self, partitions: Sequence[int] | frozenset[int]) -> None:
        """Take these partitions, at the positions that the group has committed."""
        committed = self._log.committed(self.topic, self.group)
        self._positions = {number: committed.get(number, 0) for number in sorted(partitions)}
        self._positioned = set(committed) & set(partitions)


class FakeEngineLog:
    """A fake :class:`mastostream.ports.log.EngineLog` that shares its topic with no other engine.

    Attributes:
        failures: the failures of ``restore``, ``read`` and ``commit``. The port promises that a
            ``commit`` that raises RetriableError has stored nothing. So a ``commit`` may fail after
            its work only with ``Killed``.
        closed: whether the log was closed.
    """

    def __init__(self, log: FakeLog, topic: str) -> None:
        self.failures = Failures("restore", "read", "commit")
        self.closed = False
        self._log = log
        self._topic = topic
        self._lost = 0

    @property
    def generation(self) -> int:
        return 0

    @property
    def lost(self) -> int:
        return self._lost

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        progress = {}
        with self.failures.around("restore"):
            for analysis in analyses:
                positions = self._log.committed(self._topic, analysis)
                if positions:
                    progress[analysis] = Progress(positions=positions)
        return progress

    def windows(self, analysis: str) -> "FakeWindowStore":
        return self._log.windows(analysis)

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        begin = {number: positions.get(number, 0) for number in self._log.partitions()}
        with self.failures.around("read"):
            records = self._log.look(self._topic, begin, max_records, timeout_s)
        expected = dict(positions)
        for record in records:
            # Only the first record of a partition is compared: later ones follow without a gap.
            self._lost += record.offset - expected.pop(record.partition, record.offset)
        return records

    def commit(self, commit: Commit) -> None:
        with self.failures.around("commit"):
            self._log.take(commit.records)
            for analysis, progress in commit.progress.items():
                self._log.store_positions(self._topic, analysis, progress.positions)
                if progress.windows is not None:
                    self._log.windows(analysis).change(progress.windows)

    def close(self) -> None:
        self.closed = True


class FakeWindowStore:
    """A fake :class:`mastostream.ports.log.WindowStore`."""

    def __init__(self) -> None:
        self._posts: dict[str, tuple[bytes, int]] = {}
        self._members: set[tuple[int, str]] = set()
        self._notes: dict[int, bool] = {}

    def posts(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self._posts[key][0] for key in keys if key in self._posts}

    def window(self, start_ms: int) -> Mapping[str, bytes]:
        return self.posts([key for start, key in self._members if start == start_ms])

    def windows(self) -> Mapping[int, bool]:
        return dict(self._notes)

    def unchanged_since(self, before_ms: int, most: int) -> Mapping[str, bytes]:
        old = (key for key, (_, changed_ms) in self._posts.items() if changed_ms < before_ms)
        return self.posts(list(islice(old, most)))

    def change(self, changes: WindowChanges) -> None:
        """Apply changes."""
        for key, known in changes.posts.items():
            _put(self._posts, key, known)
        for start_ms, note in changes.windows.items():
            _put(self._notes, start_ms, note)
        for member, has in changes.members.items():
            (self._members.add if has else self._members.discard)(member)


def _put(values: dict[_Name, _Value], name: _Name, value: _Value | None) -> None:
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
