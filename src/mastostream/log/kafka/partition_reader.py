"""Reading partitions: what every reader of Kafka here has in common.

A position is kept here for each partition at hand, so that nothing depends on what the consumer
believes: what retention took is counted, and the end of a partition is known for sure.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import GONE, translate_error, translated
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.topics import partitions_of
from mastostream.ports.log import Positions, Record

__all__ = ["PartitionReader"]

_AT_END_S: Final = 30.0
"""How long a read that must not miss anything waits for a partition to come to its end."""


class PartitionReader:
    """Some partitions of one topic, read by one consumer.

    Attributes:
        lost: how many records retention took before they were read.
        recreated: how often a partition ended before the position in it: the topic is another one.
        positions: of the partitions at hand, the next record to read.
    """

    def __init__(
        self,
        config: KafkaClientConfig,
        topic: str,
        group: str,
        *,
        resume: bool = True,
        **settings: Any,
    ) -> None:
        """Connect; no request is made yet.

        Args:
            config: where.
            topic: its only one.
            group: of the consumer.
            resume: whether to begin at what the group has committed; else at the oldest record.
            settings: more settings of the consumer.
        """
        self.consumer: Consumer
        with translated(config):
            self.consumer = config.clients.consumer(config.consumer(group, **settings))
        self.lost = 0
        self.recreated = 0
        self.positions: dict[int, int] = {}
        self._config = config
        self._topic = topic
        self._name = config.full_name(topic)
        self._resume = resume
        self._ended: dict[int, int] = {}
        self._counted: dict[int, int] = {}
        self._offsets = Offsets(config)

    def begin(self, partitions: Iterable[int], starts: Positions) -> list[TopicPartition]:
        """Take these partitions; return them with the offsets to read on from.

        Args:
            partitions: that came.
            starts: where to go on; where one is missing the group's commit, if that counts, else
                the oldest record.

        Raises:
            RetriableError: not now.
        """
        wanted = [TopicPartition(self._name, partition) for partition in partitions]
        committed = self._committed(wanted) if self._resume else {}
        kept = self._offsets.first(self._topic, [each.partition for each in wanted])
        for each in wanted:
            first = kept[each.partition]
            start = starts.get(each.partition, committed.get(each.partition))
            if start is not None:
                self._count_lost(each.partition, start, first)
            each.offset = first if start is None else max(start, first)
            self.positions[each.partition] = each.offset
            self._ended.pop(each.partition, None)
        return wanted

    def _committed(self, wanted: list[TopicPartition]) -> dict[int, int]:
        """What the group has committed; a coordinator that has just begun needs a moment."""
        retrying = Retrying(
            retry=retry_if_exception_type(RetriableError),
            stop=stop_after_delay(self._config.timeout_s),
            wait=wait_random(0.05, 0.2),
            reraise=True,
        )
        for attempt in retrying:
            with attempt, translated(self._config):
                found = self.consumer.committed(wanted, timeout=self._config.timeout_s)
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def take_new(self, starts: Positions) -> None:
        """Take the topic's partitions that are not at hand yet; for a consumer that has all.

        Args:
            starts: as for :meth:`begin`.

        Raises:
            RetriableError: not now.
        """
        there = partitions_of(self._config, self._topic)
        new = [each for each in there if each not in self.positions]
        if new:
            here = [TopicPartition(self._name, each, at) for each, at in self.positions.items()]
            begun = self.begin(new, starts)
            with translated(self._config):
                self.consumer.assign(here + begun)

    def end(self, partitions: Iterable[int]) -> None:
        """Let these partitions go."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self._ended.pop(partition, None)

    def seek(self, positions: Positions) -> None:
        """Read on from here, in the partitions at hand.

        Raises:
            RetriableError: not now, for one of them; the others were sought.
        """
        failures: list[MastostreamError] = []
        for partition, offset in positions.items():
            if partition in self.positions and self.positions[partition] != offset:
                try:
                    self._seek(partition, offset)
                except MastostreamError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return what has come, waiting for the first; each partition's in order."""
        with translated(self._config):
            first = self.consumer.poll(timeout_s)
            if first is None:
                return []
            messages = [first]
            if max_records > 1:
                messages += self.consumer.consume(max_records - 1, 0)
        return self._records(messages)

    def pause(self) -> None:
        """Keep the consumer's place in its group without reading."""
        here = [TopicPartition(self._name, partition) for partition in self.positions]
        with translated(self._config):
            self.consumer.pause(here)
            try:
                message = self.consumer.poll(0)
            finally:
                # Also those that have gone meanwhile: they would come back paused.
                self.consumer.resume(here)
        if message is not None:  # a notice, or a record that was on its way: read it again later
            self._take_back(message)

    def to_the_end(
        self, max_records: int, *, of: Collection[int] | None = None, with_open: bool = False
    ) -> list[Record]:
        """Return the next records: fewer only where there was nothing more when this was called.

        Args:
            max_records: at most so many.
            of: only these partitions have to have come to their ends; others may bring records.
            with_open: wait also for what transactions that are open hold back.

        Raises:
            RetriableError: Kafka does not say within half a minute; nothing was read.
        """
        deadline_s = time.monotonic() + _AT_END_S
        ends: dict[int, int] = {}
        found: list[Record] = []
        try:
            while time.monotonic() < deadline_s:
                found += self.poll(max_records - len(found), 0.02 if ends else 0.0)
                if len(found) >= max_records:
                    return found
                wanted = set(self.positions if of is None else of)
                if missing := wanted - set(ends):
                    ends.update(self._offsets.end(self._topic, missing, with_open=with_open))
                    for partition in missing:
                        if self.positions[partition] > ends[partition]:
                            self._go_to_what_is_kept(partition)
                if all(self._is_at(partition, ends[partition]) for partition in wanted):
                    return found
        except BaseException:
            self.unread(found)
            raise
        self.unread(found)
        raise RetriableError(
            f"Kafka at {self._config.servers} has not given the end of {self._name}"
        )

    def unread(self, records: Iterable[Record]) -> None:
        """Read these again, those of partitions that are still at hand."""
        firsts: dict[int, int] = {}
        for record in records:
            firsts[record.partition] = min(
                record.offset, firsts.get(record.partition, record.offset)
            )
        self.seek(firsts)

    def is_at_end(self, partition: int) -> bool:
        """Whether the partition had nothing more when Kafka was last asked."""
        return self._ended.get(partition, -1) >= self.positions[partition]

    def close(self) -> None:
        """Leave the group and let go."""
        with suppress(RuntimeError):  # it is closed
            self.consumer.close()

    def _is_at(self, partition: int, end: int) -> bool:
        """Whether a partition was read to this end; its last offsets may be no records."""
        position = self.positions[partition]
        return position >= end or self._ended.get(partition, -1) >= end

    def _records(self, messages: Iterable[Any]) -> list[Record]:
        """Return the records of a batch: all of them, or none where an error is among them."""
        records: list[Record] = []
        failures: list[MastostreamError] = []
        try:
            self._add(records, failures, messages)
        except BaseException:
            self.unread(records)
            raise
        if failures:
            self.unread(records)
            raise failures[0]
        return records

    def _add(
        self, records: list[Record], failures: list[MastostreamError], messages: Iterable[Any]
    ) -> None:
        """Go through all messages, also those behind an error: nobody gives them again."""
        add, new, positions, topic = records.append, tuple.__new__, self.positions, self._topic
        for message in messages:
            if message.error() is not None:
                try:
                    self._notice(message)
                except MastostreamError as error:
                    failures.append(error)
                continue
            partition, offset = message.partition(), message.offset()
            if offset < positions.get(partition, offset + 1):
                continue  # read before a seek, or of a partition that has gone
            key, value = message.key(), message.value()
            headers = message.headers()
            members = (
                topic,
                partition,
                offset,
                message.timestamp()[1],
                None if key is None else key.decode("utf-8", "replace"),
                b"" if value is None else value,
                _headers(headers) if headers else (),
            )
            add(new(Record, members))  # a third of the time of `Record(...)`
            positions[partition] = offset + 1

    def _notice(self, message: Message) -> None:
        error = message.error()
        assert error is not None  # noqa: S101 - the callers have looked
        code, partition, offset = error.code(), message.partition(), message.offset()
        if code == KafkaError._PARTITION_EOF:
            if partition is not None and offset is not None:
                self._ended[partition] = offset
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            if partition in self.positions:
                self._go_to_what_is_kept(partition)
        elif code in GONE or error.fatal() or not _passes(error):
            raise translate_error(error, self._config)

    def _take_back(self, message: Message) -> None:
        if message.error() is not None:
            self._notice(message)
        elif (partition := message.partition()) in self.positions:
            self._seek(partition, self.positions[partition])

    def _go_to_what_is_kept(self, partition: int) -> None:
        """Retention was faster than this reader, or the topic was made anew."""
        position = to = self.positions[partition]
        try:
            first = self._offsets.first(self._topic, [partition])[partition]
            end = self._offsets.end(self._topic, [partition], with_open=True)[partition]
            if position > end:
                self.recreated += 1
                self._counted.pop(partition, None)
                to = first
            else:
                to = max(position, first)
                self._count_lost(partition, position, first)
        finally:  # where Kafka did not say, it refuses the offset once more, and is asked again
            self._take_up(partition, to)

    def _count_lost(self, partition: int, start: int, first: int) -> None:
        """Count what retention took before it was read, once."""
        lost = first - max(start, self._counted.get(partition, 0))
        if lost > 0:
            self.lost += lost
            self._counted[partition] = first

    def _seek(self, partition: int, offset: int) -> None:
        try:
            self.consumer.seek(TopicPartition(self._name, partition, offset))
        except KafkaException:  # such as in a partition whose offset was refused
            self._take_up(partition, offset)
        self.positions[partition] = offset
        self._ended.pop(partition, None)

    def _take_up(self, partition: int, offset: int) -> None:
        """Let a partition go and have it anew, from here on."""
        here = TopicPartition(self._name, partition, offset)
        with translated(self._config):
            self.consumer.incremental_unassign([here])
            self.consumer.incremental_assign([here])
        self.positions[partition] = offset
        self._ended.pop(partition, None)


def _headers(headers: Any) -> tuple[tuple[str, bytes], ...]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple(
        (name, b"" if data is None else data.encode() if isinstance(data, str) else data)
        for name, data in pairs
    )


def _passes(error: KafkaError) -> bool:
    """Whether the consumer deals with this by itself."""
    return error.retriable() or error.code() in (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._MAX_POLL_EXCEEDED,
    )
