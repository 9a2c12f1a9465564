"""All partitions of a topic as one stream, oldest record first.

A windowed analysis that catches up must not see an hour of one partition before the first minute
of another: the posts of the second would all be late. So a record is given only when every other
partition has shown its next one, or has come to its end.
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

AHEAD: Final = 5_000
"""Records that are kept of a partition while another one lags."""


class MergedPartitions:
    """Merges what some partitions bring by the time at which the log took it."""

    def __init__(self, config: KafkaClientConfig, topic: str, partitions: PartitionReader) -> None:
        self._config = config
        self._name = config.full_name(topic)
        self._partitions = partitions
        self._waiting: dict[int, deque[Record]] = {}
        self._paused: set[int] = set()

    def read(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return the oldest records, waiting up to ``timeout_s`` for the first."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._take(self._partitions.poll(max_records, 0.0 if self._ready() else 0.05))
            records = self._oldest(max_records)
            if records or time.monotonic() >= deadline_s:
                return records

    def to_the_end(self, max_records: int) -> list[Record]:
        """Return the oldest records; none only where there was nothing more when it was called.

        Raises:
            RetriableError: Kafka does not say in time.
        """
        while True:
            records = self._oldest(max_records)
            if records:
                return records
            # Not of all: one of which enough is waiting has been paused.
            lagging = [each for each in self._all() if self._holds_up(each)] or self._all()
            found = self._partitions.to_the_end(max_records, of=lagging)
            self._take(found)
            if not found:
                return self._oldest(max_records, ended=lagging)

    def _take(self, records: list[Record]) -> None:
        for record in records:
            self._waiting.setdefault(record.partition, deque()).append(record)
        full = {each for each, records in self._waiting.items() if len(records) > AHEAD}
        self._pause(full - self._paused)
        self._resume({each for each in self._paused if len(self._waiting[each]) < AHEAD // 2})

    def _ready(self) -> bool:
        """Whether no partition holds up the others."""
        return any(self._waiting.values()) and not any(map(self._holds_up, self._all()))

    def _all(self) -> list[int]:
        return list(self._partitions.positions)

    def _holds_up(self, partition: int) -> bool:
        return not self._waiting.get(partition) and not self._partitions.is_at_end(partition)

    def _oldest(self, max_records: int, *, ended: Collection[int] = ()) -> list[Record]:
        """Return what can be given; of those partitions that ``ended`` nothing more is awaited."""
        if any(each not in ended and self._holds_up(each) for each in self._all()):
            return []
        heads = {each: records for each, records in self._waiting.items() if records}
        found: list[Record] = []
        while heads and len(found) < max_records:
            partition = min(heads, key=lambda each: (heads[each][0].timestamp_ms, each))
            records = heads[partition]
            found.append(records.popleft())
            if not records:
                del heads[partition]
                if partition not in ended and self._holds_up(partition):
                    break
        return found

    def _pause(self, partitions: set[int]) -> None:
        if partitions:
            with translated(self._config):
                self._partitions.consumer.pause(self._named(partitions))
            self._paused |= partitions

    def _resume(self, partitions: set[int]) -> None:
        if partitions:
            with translated(self._config):
                self._partitions.consumer.resume(self._named(partitions))
            self._paused -= partitions

    def _named(self, partitions: set[int]) -> list[TopicPartition]:
        return [TopicPartition(self._name, each) for each in partitions]
