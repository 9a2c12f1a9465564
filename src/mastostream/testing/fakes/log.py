"""A log in memory."""

import copy
import heapq
import threading
import zlib
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

import attrs

from mastostream.core.windows import WindowState
from mastostream.ports.clock import Clock
from mastostream.ports.log import Commit, NewRecord, Positions, Progress, Record
from mastostream.testing.fakes.clock import FakeClock
from mastostream.testing.fakes.failures import Failures

__all__ = ["FakeEngineLog", "FakeLog", "FakeLogReader", "FakeLogWriter"]

_BY_TIME: Final = attrgetter("timestamp_ms")


@attrs.define
class _Partition:
    """The records that are kept, and the offset of the next one."""

    records: list[Record] = attrs.field(factory=list)
    next_offset: int = 0

    def since(self, offset: int, most: int | None = None) -> list[Record]:
        first = self.next_offset - len(self.records)
        begin = max(0, offset - first)
        return self.records[begin : None if most is None else begin + most]


class FakeLog:
    """Topics of partitions, as long as this object lives; it hands out what uses them."""

    def __init__(self, *, partitions: int = 1, clock: Clock | None = None) -> None:
        """Begin without any topic.

        Args:
            partitions: how many each topic gets.
            clock: gives records their timestamps, and moves on where a reader waits in vain; a
                :class:`FakeClock` by default.
        """
        self.clock = clock or FakeClock()
        self._count = partitions
        self._topics: dict[str, list[_Partition]] = {}
        self._committed: dict[tuple[str, str], dict[int, int]] = {}
        self._windows: dict[str, WindowState] = {}

    def writer(self) -> "FakeLogWriter":
        """Return a :class:`mastostream.ports.log.LogWriter` on it."""
        return FakeLogWriter(self)

    def reader(self, topic: str, group: str) -> "FakeLogReader":
        """Return a :class:`mastostream.ports.log.LogReader` of one topic for one group."""
        return FakeLogReader(self, topic, group)

    def engine(self, topic: str) -> "FakeEngineLog":
        """Return a :class:`mastostream.ports.log.EngineLog` whose input is this topic."""
        return FakeEngineLog(self, topic)

    def append(self, topic: str, *values: bytes, key: str | None = None) -> None:
        """Append values, which no failure hinders."""
        self.take([NewRecord(topic, key, value) for value in values])

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic that are kept, partition by partition."""
        return [each for partition in self._topics.get(topic, ()) for each in partition.records]

    def committed(self, topic: str, group: str) -> dict[int, int]:
        """Return what a group of readers, or an analysis of an engine, has committed."""
        return dict(self._committed.get((topic, group), {}))

    def delete_before(self, topic: str, positions: Positions) -> None:
        """Delete the oldest records of these partitions, as retention does."""
        for number, offset in positions.items():
            partition = self._topics[topic][number]
            partition.records = partition.since(offset)

    def take(self, records: Sequence[NewRecord]) -> None:
        """Append records, each to the partition of its key."""
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
        """Return the next records of the partitions that are named; wait once where none is."""
        records = self._look(topic, positions, max_records)
        if not records and max_records and timeout_s > 0:
            self.clock.wait(threading.Event(), timeout_s)
            records = self._look(topic, positions, max_records)
        return records

    def partitions(self) -> range:
        """Return the numbers of the partitions of each topic."""
        return range(self._count)

    def store_positions(self, topic: str, group: str, positions: Positions) -> None:
        """Remember what a group has committed."""
        self._committed.setdefault((topic, group), {}).update(positions)

    def store_windows(self, analysis: str, windows: WindowState) -> None:
        """Remember the windows of an analysis as they are now."""
        self._windows[analysis] = copy.deepcopy(windows)

    def windows(self, analysis: str) -> WindowState | None:
        """Return the windows of an analysis as they were stored."""
        return copy.deepcopy(self._windows.get(analysis))

    def _partition_of(self, key: str | None, partitions: Sequence[_Partition]) -> int:
        if key is None:  # where there is least
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
    """A :class:`mastostream.ports.log.LogWriter`.

    Attributes:
        failures: of ``append``. One that fails after its work has taken the batch: the same list
            again is then not taken twice.
        attempts: the lists that it was called with, in their order.
        closed: whether it was closed.
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
    """A :class:`mastostream.ports.log.LogReader`. It has all partitions until :meth:`assign`.

    Attributes:
        failures: of ``read``, of ``keep_place`` (a ``read`` of no records) and of ``commit``.
        asked: the arguments of each ``read``: ``max_records`` and ``timeout_s``.
        closed: whether it was closed.
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
        self._assigned: frozenset[int] | None = None  # it takes these with its next read
        self._begun: set[int] = set()  # partitions of which it has a place to count from
        self._positions: dict[int, int] = {}
        self._take_over(log.partitions())

    @property
    def lost(self) -> int:
        return self._lost

    @property
    def generation(self) -> int:
        return self._generation

    def assign(self, *partitions: int) -> None:
        """Let it have these partitions from its next ``read`` on, as after a rebalance.

        What it has of others can no longer be committed. Who gives a partition to one reader of a
        group takes it from the others.
        """
        if set(partitions) != set(self._at_hand()):
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
            if record.partition in self._begun:
                self._lost += record.offset - self._positions[record.partition]
            self._begun.add(record.partition)
            self._positions[record.partition] = record.offset + 1
        return records

    def seek(self, positions: Positions) -> None:
        there = {each: at for each, at in positions.items() if each in self._positions}
        self._positions.update(there)
        self._begun.update(there)

    def commit(self, positions: Positions) -> None:
        with self.failures.around("commit"):
            mine = {each: at for each, at in positions.items() if each in self._at_hand()}
            self._log.store_positions(self.topic, self.group, mine)

    def close(self) -> None:
        self.closed = True

    def _at_hand(self) -> frozenset[int]:
        return frozenset(self._positions) if self._assigned is None else self._assigned

    def _take_over(self, partitions: Sequence[int] | frozenset[int]) -> None:
        """Go on where the group's last commits stand."""
        committed = self._log.committed(self.topic, self.group)
        self._positions = {each: committed.get(each, 0) for each in sorted(partitions)}
        self._begun = set(committed) & set(partitions)


class FakeEngineLog:
    """A :class:`mastostream.ports.log.EngineLog` that has its topic for itself.

    Attributes:
        failures: of ``restore``, ``read`` and ``commit``. A ``commit`` that raises RetriableError
            has stored nothing: of those that fail after their work, only ``Killed`` is allowed.
        closed: whether it was closed.
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
                windows = self._log.windows(analysis)
                if positions or windows is not None:
                    progress[analysis] = Progress(positions=positions, windows=windows)
        return progress

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        places = {each: positions.get(each, 0) for each in self._log.partitions()}
        with self.failures.around("read"):
            records = self._log.look(self._topic, places, max_records, timeout_s)
        expected = dict(positions)
        for record in records:
            self._lost += record.offset - expected.pop(record.partition, record.offset)
        return records

    def commit(self, commit: Commit) -> None:
        with self.failures.around("commit"):
            self._log.take(commit.records)
            for analysis, progress in commit.progress.items():
                self._log.store_positions(self._topic, analysis, progress.positions)
                if progress.windows is not None:
                    self._log.store_windows(analysis, progress.windows)

    def close(self) -> None:
        self.closed = True
