"""Readers of one topic in Kafka: one reads all partitions, one shares them within a group."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import LOST_PARTITIONS, translate_error, translated
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.partition_reader import PartitionReader
from mastostream.log.kafka.topics import ensure_topics
from mastostream.ports.log import Positions, Record

__all__ = ["KafkaLogReader", "KafkaSharedReader"]

LOOK_FOR_PARTITIONS_EVERY_S: Final = 30.0
"""How often a reader of all partitions looks for new partitions, in seconds."""

JOIN_S: Final = 30.0
"""How long a read with a time-out of 0 waits for the group to assign partitions, in seconds."""

_logger = logging.getLogger(__name__)


def _do_nothing() -> None:
    """Do nothing: the default for ``on_revoke``."""


class KafkaLogReader:
    """A :class:`ports.log.LogReader` on Kafka that reads all partitions; used by one thread.

    Two readers of one group do not share the work: each reads everything.
    """

    def __init__(self, config: KafkaClientConfig, *, topic: str, group: str) -> None:
        """Create the consumer; the first read connects.

        Args:
            config: the Kafka to use.
            topic: the topic to read.
            group: the group that commits positions.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        self._config = config
        self._topic = topic
        self._partitions = PartitionReader(config, topic, group)
        self._starts: dict[int, int] = {}
        self._look_due_s = 0.0

    @property
    def lost(self) -> int:
        return self._partitions.lost

    @property
    def generation(self) -> int:
        return self._partitions.recreated

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        if time.monotonic() >= self._look_due_s:
            self._partitions.take_new(self._starts)
            self._look_due_s = time.monotonic() + LOOK_FOR_PARTITIONS_EVERY_S
        if not max_records:
            return ()
        if not self._partitions.positions:
            time.sleep(min(timeout_s, 1.0))
            self._look_due_s = 0.0
            return ()
        if timeout_s > 0:
            return self._partitions.poll(max_records, timeout_s)
        return self._partitions.read_to_end(max_records)

    def seek(self, positions: Positions) -> None:
        self._starts.update(positions)
        self._partitions.seek(positions)

    def commit(self, positions: Positions) -> None:
        commit_positions(self._partitions.consumer, self._config, self._topic, positions)

    def close(self) -> None:
        self._partitions.close()


class KafkaSharedReader:
    """A :class:`ports.log.LogReader` on Kafka that shares the partitions; used by one thread.

    Kafka assigns and revokes partitions while it reads. ``on_revoke`` is called before partitions
    are revoked: this is the last moment to commit their positions. It is not called for partitions
    that were lost, because the process was silent for longer than the session time-out: they belong
    to another reader already.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the user, given by name
        self,
        config: KafkaClientConfig,
        *,
        topic: str,
        group: str,
        resume: bool = True,
        from_beginning: bool = False,
        on_revoke: Callable[[], None] = _do_nothing,
    ) -> None:
        """Store the configuration; the first read joins the group.

        Args:
            config: the Kafka to use.
            topic: the topic to read; created if it is missing.
            group: the consumer group that shares the partitions.
            resume: ``True`` starts an assigned partition at the position that the group has
                committed, ``False`` at the oldest record.
            from_beginning: whether each partition starts at its oldest record until a position of
                it is committed by this reader.
            on_revoke: called before partitions are revoked, but not if they were lost.
        """
        self._config = config
        self._topic = topic
        self._group = group
        self._resume = resume
        self._from_beginning = from_beginning
        self._committed: set[int] = set()
        self._on_revoke = on_revoke
        self._partitions: PartitionReader | None = None
        self._generation = 0
        self._lost = 0
        self._assigned = False
        self._broken = False

    @property
    def lost(self) -> int:
        return self._lost + (self._partitions.lost if self._partitions else 0)

    @property
    def generation(self) -> int:
        return self._generation + (self._partitions.recreated if self._partitions else 0)

    @property
    def positions(self) -> Positions:
        """The offset of the next record to read, for each assigned partition."""
        return dict(self._partitions.positions) if self._partitions else {}

    @property
    def consumer(self) -> Consumer | None:
        """The consumer, for a transaction that commits positions; ``None`` until the first read."""
        return self._partitions.consumer if self._partitions else None

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        partitions = self._partitions if not self._broken else None
        if partitions is None:
            partitions = self._join()
        if not max_records:
            partitions.pause()
            return ()
        if timeout_s > 0:
            return partitions.poll(max_records, timeout_s)
        deadline_s = time.monotonic() + JOIN_S
        records: list[Record] = []
        while not self._assigned:
            records += partitions.poll(max_records - len(records), 0.1)
            if time.monotonic() > deadline_s:
                named = self._config.full_name
                raise RetriableError(
                    f"Kafka at {self._config.servers} has not given group {named(self._group)} its "
                    f"partitions of {named(self._topic)}"
                )
        if len(records) >= max_records:
            return records
        try:
            return records + partitions.read_to_end(max_records - len(records))
        except BaseException:
            partitions.unread(records)
            raise

    def seek(self, positions: Positions) -> None:
        if self._partitions is not None:
            self._partitions.seek(positions)

    def unread(self, records: Sequence[Record]) -> None:
        """Read these records again; ignore those of partitions that are not assigned any more."""
        if self._partitions is not None:
            self._partitions.unread(records)

    def commit(self, positions: Positions) -> None:
        self.try_commit(positions)

    def try_commit(self, positions: Positions) -> bool:
        """Commit positions; return whether the commit was accepted.

        It is not accepted while the group rebalances. The positions of partitions that stay
        assigned then have to be committed once more.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
        """
        if self._partitions is None:
            return True
        assigned = self._partitions.positions
        own = {
            partition: offset for partition, offset in positions.items() if partition in assigned
        }
        done = commit_positions(self._partitions.consumer, self._config, self._topic, own)
        if done:
            self.has_committed(own)
        return done

    def has_committed(self, partitions: Iterable[int]) -> None:
        """Note that positions of these partitions are committed, and may be resumed at."""
        self._committed.update(partitions)

    def rejoin(self) -> None:
        """Leave the group at the next read, join again, and start at the committed positions.

        The records that were read since the last commit are read again, so the caller must not
        commit their positions any more.
        """
        self._broken = True
        self._generation += 1

    def close(self) -> None:
        if self._partitions is not None:
            self._partitions.close()

    def _join(self) -> PartitionReader:
        self._leave()
        ensure_topics(self._config, [self._topic])
        partitions = PartitionReader(self._config, self._topic, self._group, resume=self._resume)
        with translated(self._config):
            partitions.consumer.subscribe(
                [self._config.full_name(self._topic)],
                on_assign=self._assign,
                on_revoke=self._revoke,
                on_lost=self._lose,
            )
        self._partitions = partitions
        return partitions

    def _leave(self) -> None:
        if self._partitions is not None:
            self._lost += self._partitions.lost
            self._partitions.drop(list(self._partitions.positions))
            self._partitions.close()
            self._generation += 1 + self._partitions.recreated
            self._partitions = None
        self._assigned = self._broken = False

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assert self._partitions is not None  # noqa: S101 - only a member gets this callback
        self._assigned = True
        if partitions:
            self._generation += 1
        try:
            numbers = [partition.partition for partition in partitions]
            oldest: Positions = {}
            if self._from_beginning:
                anew = [number for number in numbers if number not in self._committed]
                oldest = Offsets(self._config).first(self._topic, anew)
            assignments = self._partitions.take(numbers, oldest)
            consumer.incremental_assign(assignments)
        except BaseException:
            self._broken = True  # librdkafka would read from positions that are not known here.
            raise
        named = self._config.full_name
        _logger.info(
            "%s: %s has partitions %s",
            named(self._topic),
            named(self._group),
            sorted(self.positions),
        )

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._on_revoke()
        except RetriableError as error:
            name = self._config.full_name(self._topic)
            _logger.info("%s: what was not committed is read again: %s", name, error)
        self._lose(consumer, partitions)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assert self._partitions is not None  # noqa: S101 - only a member gets this callback
        if partitions:
            self._generation += 1
        self._partitions.drop(partition.partition for partition in partitions)
        consumer.incremental_unassign(partitions)


def commit_positions(
    consumer: Consumer, config: KafkaClientConfig, topic: str, positions: Positions
) -> bool:
    """Commit positions; return whether the group has accepted the commit of this member.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    if not positions:
        return True
    name = config.full_name(topic)
    offsets = [TopicPartition(name, partition, offset) for partition, offset in positions.items()]
    try:
        results: Any = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() in LOST_PARTITIONS:
            _logger.info("%s: another reader has the partitions now: %s", name, error)
            return False
        raise translate_error(error.args[0], config) from error
    for result in results or ():
        if result.error is not None:
            raise translate_error(result.error, config)
    return True
