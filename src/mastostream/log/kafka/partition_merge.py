"""Merges the partitions of a topic into one stream, ordered by timestamp, then partition.

A windowed analysis that catches up must not read an hour of one partition before the first minute
of another: all records of the second partition would be late. So a record is returned only when the
next record of every other partition is known, or that partition is at its end.
"""

import time
from collections import deque
from collections.abc import Collection
from typing import Final

from confluent_kafka import TopicPartition

from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translated
from mastostream.log.kafka.partition_reader import PartitionReader
from mastostream.ports.log import Record

__all__ = ["MergedPartitions"]

BUFFER_RECORDS: Final = 5_000
"""The buffer of one partition, in records. A partition whose buffer is full is paused until half of
it is free."""


class MergedPartitions:
    """Merges the records of some partitions by the time at which the log took them.

    Records that cannot be returned yet are buffered, up to ``BUFFER_RECORDS`` for each partition
    and what one poll brings.
    """

    def __init__(self, config: KafkaClientConfig, topic: str, partitions: PartitionReader) -> None:
        self._config = config
        self._name = config.full_name(topic)
        self._partitions = partitions
        self._buffers: dict[int, deque[Record]] = {}
        self._paused: set[int] = set()

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return the oldest records, waiting up to ``timeout_s`` for the first one."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._buffer(self._partitions.poll(max_records, 0.0 if self._ready() else 0.05))
            records = self._oldest(max_records)
            if records or time.monotonic() >= deadline_s:
                return records

    def read_to_end(self, max_records: int) -> list[Record]:
        """Return the oldest records; none only if all partitions were at their ends at the call.

        Raises:
            RetriableError: Kafka does not report the ends in time.
        """
        while True:
            records = self._oldest(max_records)
            if records:
                return records
            # Only the partitions that block the others are read to their ends: a partition with a
            # full buffer is paused, and does not reach its end.
            lagging = [
                number for number in self._numbers() if self._blocks(number)
            ] or self._numbers()
            new_records = self._partitions.read_to_end(max_records, ends_of=lagging)
            self._buffer(new_records)
            if not new_records:
                return self._oldest(max_records, ended=lagging)

    def _buffer(self, records: list[Record]) -> None:
        for record in records:
            self._buffers.setdefault(record.partition, deque()).append(record)
        full = {
            number for number, records in self._buffers.items() if len(records) > BUFFER_RECORDS
        }
        self._pause(full - self._paused)
        self._resume(
            {number for number in self._paused if len(self._buffers[number]) < BUFFER_RECORDS // 2}
        )

    def _ready(self) -> bool:
        """Return whether a record can be returned now: no partition blocks the others."""
        return any(self._buffers.values()) and not any(map(self._blocks, self._numbers()))

    def _numbers(self) -> list[int]:
        return list(self._partitions.positions)

    def _blocks(self, partition: int) -> bool:
        """Return whether the others have to wait: its next record is not known, nor its end."""
        return not self._buffers.get(partition) and not self._partitions.is_at_end(partition)

    def _oldest(self, max_records: int, *, ended: Collection[int] = ()) -> list[Record]:
        """Return the records that can be returned now, oldest first; at most ``max_records``.

        Partitions in ``ended`` are known to be at their ends, so they never block the others.
        """
        if any(number not in ended and self._blocks(number) for number in self._numbers()):
            return []
        heads = {number: records for number, records in self._buffers.items() if records}
        oldest: list[Record] = []
        while heads and len(oldest) < max_records:
            partition = min(heads, key=lambda number: (heads[number][0].timestamp_ms, number))
            buffer = heads[partition]
            oldest.append(buffer.popleft())
            if not buffer:
                del heads[partition]
                if partition not in ended and self._blocks(partition):
                    break
        return oldest

    def _pause(self, partitions: set[int]) -> None:
        if partitions:
            with translated(self._config):
                self._partitions.consumer.pause(self._topic_partitions(partitions))
            self._paused |= partitions

    def _resume(self, partitions: set[int]) -> None:
        if partitions:
            with translated(self._config):
                self._partitions.consumer.resume(self._topic_partitions(partitions))
            self._paused -= partitions

    def _topic_partitions(self, partitions: set[int]) -> list[TopicPartition]:
        return [TopicPartition(self._name, number) for number in partitions]
