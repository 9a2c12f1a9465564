"""Reads assigned partitions of one topic: the part that all readers of Kafka share.

The position in each assigned partition is kept here and not taken from the consumer. So records
that retention deleted before they were read are counted, and the end of a partition is known for
sure.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import NO_SUCH_TOPIC, translate_error, translated
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.topics import partitions_of
from mastostream.ports.log import Positions, Record

__all__ = ["PartitionReader"]

_AT_END_S: Final = 30.0
"""How long :meth:`PartitionReader.read_to_end` waits for the ends of partitions, in seconds."""


class PartitionReader:
    """Reads some partitions of one topic with one consumer; used by one thread.

    Attributes:
        consumer: the consumer.
        lost: how many records retention deleted before they were read.
        recreated: how often a partition ended before the position in it, which means that the topic
            was deleted and created again.
        positions: the offset of the next record to read, for each assigned partition.
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
        """Create the consumer; it makes no request yet.

        Args:
            config: the Kafka to use.
            topic: the topic to read.
            group: the consumer group.
            resume: ``True`` starts at the positions that the group has committed, ``False`` at the
                oldest record.
            settings: further settings of the consumer.

        Raises:
            ConfigurationError: a setting is wrong.
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
        self._end_offsets: dict[int, int] = {}
        self._lost_before: dict[int, int] = {}
        self._offsets = Offsets(config)

    def take(self, partitions: Iterable[int], starts: Positions) -> list[TopicPartition]:
        """Take partitions over; return them with the offsets to start at, for ``assign``.

        A partition starts at its offset in ``starts``; if that is missing, at the position that the
        group has committed (if ``resume`` is set); and else at the oldest record.

        Args:
            partitions: the numbers of the new partitions.
            starts: the offsets to start at, by partition.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
        """
        assignments = [TopicPartition(self._name, partition) for partition in partitions]
        committed = self._committed(assignments) if self._resume else {}
        firsts = self._offsets.first(
            self._topic, [assignment.partition for assignment in assignments]
        )
        for assignment in assignments:
            first = firsts[assignment.partition]
            start = starts.get(assignment.partition, committed.get(assignment.partition))
            if start is not None:
                self._count_lost(assignment.partition, start, first)
            assignment.offset = first if start is None else max(start, first)
            self.positions[assignment.partition] = assignment.offset
            self._end_offsets.pop(assignment.partition, None)
        return assignments

    def _committed(self, assignments: list[TopicPartition]) -> dict[int, int]:
        """Return the committed offsets; retry, because a coordinator needs time after its start."""
        retrying = Retrying(
            retry=retry_if_exception_type(RetriableError),
            stop=stop_after_delay(self._config.timeout_s),
            wait=wait_random(0.05, 0.2),
            reraise=True,
        )
        for attempt in retrying:
            with attempt, translated(self._config):
                committed = self.consumer.committed(assignments, timeout=self._config.timeout_s)
        return {stored.partition: stored.offset for stored in committed if stored.offset >= 0}

    def take_new(self, starts: Positions) -> None:
        """Assign those of the topic's partitions that are new; for a consumer that reads them all.

        Args:
            starts: the offsets to start at, by partition; :meth:`take` says what a missing one
                means.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
        """
        partitions = partitions_of(self._config, self._topic)
        new = [partition for partition in partitions if partition not in self.positions]
        if new:
            assigned = [
                TopicPartition(self._name, partition, offset)
                for partition, offset in self.positions.items()
            ]
            added = self.take(new, starts)
            with translated(self._config):
                self.consumer.assign(assigned + added)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget the state of partitions that are no longer assigned."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self._end_offsets.pop(partition, None)

    def seek(self, positions: Positions) -> None:
        """Continue reading at these offsets; ignore partitions that are not assigned.

        Raises:
            RetriableError: a seek has failed in one partition; it was still done in the others.
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
        """Return records that have arrived, in order within each partition.

        Waits up to ``timeout_s`` for the first message, which may also be an event without a
        record.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says. The
                records that came with the error are read again.
        """
        with translated(self._config):
            first = self.consumer.poll(timeout_s)
            if first is None:
                return []
            messages = [first]
            if max_records > 1:
                messages += self.consumer.consume(max_records - 1, 0)
        return self._records(messages)

    def pause(self) -> None:
        """Keep the consumer a member of its group without reading records."""
        assigned = [TopicPartition(self._name, partition) for partition in self.positions]
        with translated(self._config):
            self.consumer.pause(assigned)
            try:
                message = self.consumer.poll(0)
            finally:
                # Partitions that were revoked meanwhile are resumed too: they would else still be
                # paused when they are assigned again.
                self.consumer.resume(assigned)
        if message is not None:  # an event, or a record that was fetched before the pause
            self._read_later(message)

    def read_to_end(
        self,
        max_records: int,
        *,
        ends_of: Collection[int] | None = None,
        include_open: bool = False,
    ) -> list[Record]:
        """Return the next records, fewer than ``max_records`` only if the call found no more.

        Args:
            max_records: the most records to return.
            ends_of: the partitions that have to be read to their ends; ``None`` means all. The
                others may contribute records too.
            include_open: whether to wait also for records of transactions that are open.

        Raises:
            RetriableError: Kafka has not reported the ends within 30 s. All records of this call
                are read again.
        """
        deadline_s = time.monotonic() + _AT_END_S
        ends: dict[int, int] = {}
        records: list[Record] = []
        try:
            while time.monotonic() < deadline_s:
                records += self.poll(max_records - len(records), 0.02 if ends else 0.0)
                if len(records) >= max_records:
                    return records
                wanted = set(self.positions if ends_of is None else ends_of)
                if missing := wanted - set(ends):
                    ends.update(self._offsets.end(self._topic, missing, include_open=include_open))
                    for partition in missing:
                        if self.positions[partition] > ends[partition]:
                            self._move_to_existing(partition)
                if all(self._is_at(partition, ends[partition]) for partition in wanted):
                    return records
        except BaseException:
            self.unread(records)
            raise
        self.unread(records)
        raise RetriableError(
            f"Kafka at {self._config.servers} has not given the end of {self._name}"
        )

    def unread(self, records: Iterable[Record]) -> None:
        """Read these records again; ignore those of partitions that are not assigned any more."""
        firsts: dict[int, int] = {}
        for record in records:
            firsts[record.partition] = min(
                record.offset, firsts.get(record.partition, record.offset)
            )
        self.seek(firsts)

    def is_at_end(self, partition: int) -> bool:
        """Return whether Kafka has reported the end of the partition at the current position."""
        return self._end_offsets.get(partition, -1) >= self.positions[partition]

    def close(self) -> None:
        """Leave the group and close the consumer; a second call does nothing."""
        with suppress(RuntimeError):  # It is closed already.
            self.consumer.close()

    def _is_at(self, partition: int, end: int) -> bool:
        """Return whether a partition was read to this offset.

        The last offsets of a partition may hold no records but markers of transactions.
        """
        position = self.positions[partition]
        return position >= end or self._end_offsets.get(partition, -1) >= end

    def _records(self, messages: Iterable[Any]) -> list[Record]:
        """Return the records of a batch; raise an error in it, and read its records again later."""
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
        """Sort all messages into records and failures.

        It goes on after an error, because the consumer does not return a message twice.
        """
        add, new, positions, topic = records.append, tuple.__new__, self.positions, self._topic
        for message in messages:
            if message.error() is not None:
                try:
                    self._handle_event(message)
                except MastostreamError as error:
                    failures.append(error)
                continue
            partition, offset = message.partition(), message.offset()
            if offset < positions.get(partition, offset + 1):
                continue  # It was fetched before a seek, or the partition is not assigned any more.
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
            add(new(Record, members))  # This takes a third of the time of `Record(...)`.
            positions[partition] = offset + 1

    def _handle_event(self, message: Message) -> None:
        """Handle a message that is an event or an error, not a record."""
        error = message.error()
        assert error is not None  # noqa: S101 - the callers have checked it
        code, partition, offset = error.code(), message.partition(), message.offset()
        if code == KafkaError._PARTITION_EOF:
            if partition is not None and offset is not None:
                self._end_offsets[partition] = offset
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            if partition in self.positions:
                self._move_to_existing(partition)
        elif code in NO_SUCH_TOPIC or error.fatal() or not _recovers(error):
            raise translate_error(error, self._config)

    def _read_later(self, message: Message) -> None:
        """Handle an event; seek back to before a record, so that it is read again."""
        if message.error() is not None:
            self._handle_event(message)
        elif (partition := message.partition()) in self.positions:
            self._seek(partition, self.positions[partition])

    def _move_to_existing(self, partition: int) -> None:
        """Move to an offset that exists.

        The position does not exist, because retention has deleted its record or because the topic
        was deleted and created again.
        """
        position = target = self.positions[partition]
        try:
            first = self._offsets.first(self._topic, [partition])[partition]
            end = self._offsets.end(self._topic, [partition], include_open=True)[partition]
            if position > end:
                self.recreated += 1
                self._lost_before.pop(partition, None)
                target = first
            else:
                target = max(position, first)
                self._count_lost(partition, position, first)
        finally:
            # If the request for offsets has failed, the position stays. Kafka refuses it once more,
            # and this method runs again.
            self._reassign(partition, target)

    def _count_lost(self, partition: int, start: int, first: int) -> None:
        """Count the records that retention deleted before they were read, each of them once."""
        lost = first - max(start, self._lost_before.get(partition, 0))
        if lost > 0:
            self.lost += lost
            self._lost_before[partition] = first

    def _seek(self, partition: int, offset: int) -> None:
        try:
            self.consumer.seek(TopicPartition(self._name, partition, offset))
        except KafkaException:  # for example in a partition whose offset was refused
            self._reassign(partition, offset)
        self.positions[partition] = offset
        self._end_offsets.pop(partition, None)

    def _reassign(self, partition: int, offset: int) -> None:
        """Drop the consumer's assignment of a partition and assign it again at this offset."""
        assignment = TopicPartition(self._name, partition, offset)
        with translated(self._config):
            self.consumer.incremental_unassign([assignment])
            self.consumer.incremental_assign([assignment])
        self.positions[partition] = offset
        self._end_offsets.pop(partition, None)


def _headers(headers: Any) -> tuple[tuple[str, bytes], ...]:
    """Return headers as pairs of name and bytes; a header without a value has ``b""``."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple(
        (name, b"" if data is None else data.encode() if isinstance(data, str) else data)
        for name, data in pairs
    )


def _recovers(error: KafkaError) -> bool:
    """Return whether the consumer recovers from this error by itself."""
    return error.retriable() or error.code() in (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._MAX_POLL_EXCEEDED,
    )
