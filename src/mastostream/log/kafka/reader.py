"""Reading the log: alone, or sharing the partitions with the other readers of a group."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import LOST_PARTITIONS, translate_error, translated
from mastostream.log.kafka.partition_reader import PartitionReader
from mastostream.log.kafka.topics import ensure_topics
from mastostream.ports.log import Positions, Record

__all__ = ["KafkaLogReader", "KafkaSharedReader"]

LOOK_EVERY_S: Final = 30.0
"""How often a reader that takes all partitions looks for new ones."""

JOIN_S: Final = 30.0
"""How long a read that must not miss anything waits for the group to share the partitions."""

_logger = logging.getLogger(__name__)


def _nothing() -> None:
    """Do nothing."""


class KafkaLogReader:
    """A :class:`ports.log.LogReader` on Kafka that takes all partitions; used by one thread.

    Two readers of one group do not share the work: each reads everything.
    """

    def __init__(self, config: KafkaClientConfig, *, topic: str, group: str) -> None:
        """Connect at the first read. Errors as :func:`errors.translated`."""
        self._config = config
        self._topic = topic
        self._partitions = PartitionReader(config, topic, group)
        self._starts: dict[int, int] = {}
        self._look_s = 0.0

    @property
    def lost(self) -> int:
        return self._partitions.lost

    @property
    def generation(self) -> int:
        return self._partitions.recreated

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        if time.monotonic() >= self._look_s:
            self._partitions.take_new(self._starts)
            self._look_s = time.monotonic() + LOOK_EVERY_S
        if not max_records:
            return ()
        if not self._partitions.positions:
            time.sleep(min(timeout_s, 1.0))
            self._look_s = 0.0
            return ()
        if timeout_s > 0:
            return self._partitions.poll(max_records, timeout_s)
        return self._partitions.to_the_end(max_records)

    def seek(self, positions: Positions) -> None:
        self._starts.update(positions)
        self._partitions.seek(positions)

    def commit(self, positions: Positions) -> None:
        commit_positions(self._partitions.consumer, self._config, self._topic, positions)

    def close(self) -> None:
        self._partitions.close()


class KafkaSharedReader:
    """A :class:`ports.log.LogReader` on Kafka that shares the partitions; used by one thread.

    Partitions come and go while it reads. Before one goes in peace ``on_revoke`` is called: the
    last moment to commit. One that was lost (the process slept for longer than the session lasts)
    belongs to another reader already.
    """

    def __init__(
        self,
        config: KafkaClientConfig,
        *,
        topic: str,
        group: str,
        resume: bool = True,
        on_revoke: Callable[[], None] = _nothing,
    ) -> None:
        """Join the group at the first read.

        Args:
            config: where.
            topic: what is read.
            group: with whom the partitions are shared.
            resume: whether a partition that comes begins at the group's commit; else at the oldest
                record.
            on_revoke: called before partitions go in peace.

        Raises:
            ConfigurationError and others: as :func:`errors.translated`.
        """
        self._config = config
        self._topic = topic
        self._group = group
        self._resume = resume
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
        """Of the partitions at hand: the next record to read."""
        return dict(self._partitions.positions) if self._partitions else {}

    @property
    def consumer(self) -> Consumer | None:
        """The member of the group, for a transaction that commits its positions."""
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
        found: list[Record] = []
        while not self._assigned:
            found += partitions.poll(max_records - len(found), 0.1)
            if time.monotonic() > deadline_s:
                named = self._config.full_name
                raise RetriableError(
                    f"Kafka at {self._config.servers} has not given group {named(self._group)} its "
                    f"partitions of {named(self._topic)}"
                )
        if len(found) >= max_records:
            return found
        try:
            return found + partitions.to_the_end(max_records - len(found))
        except BaseException:
            partitions.unread(found)
            raise

    def seek(self, positions: Positions) -> None:
        if self._partitions is not None:
            self._partitions.seek(positions)

    def unread(self, records: Sequence[Record]) -> None:
        """Read these again, those of partitions that are still at hand."""
        if self._partitions is not None:
            self._partitions.unread(records)

    def commit(self, positions: Positions) -> None:
        self.try_commit(positions)

    def try_commit(self, positions: Positions) -> bool:
        """Commit; return whether nothing is left to commit.

        Something is left where the group is about to share the partitions anew: those that stay
        have to be committed once more.
        """
        if self._partitions is None:
            return True
        mine = self._partitions.positions
        held = {each: at for each, at in positions.items() if each in mine}
        return commit_positions(self._partitions.consumer, self._config, self._topic, held)

    def rejoin(self) -> None:
        """Read on from what the group has committed, with the next read.

        What was read since is given up: nobody may commit it any more.
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
                on_assign=self._came,
                on_revoke=self._goes,
                on_lost=self._gone,
            )
        self._partitions = partitions
        return partitions

    def _leave(self) -> None:
        if self._partitions is not None:
            self._lost += self._partitions.lost
            self._partitions.end(list(self._partitions.positions))
            self._partitions.close()
            self._generation += 1 + self._partitions.recreated
            self._partitions = None
        self._assigned = self._broken = False

    def _came(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assert self._partitions is not None  # noqa: S101 - only a member is told
        self._assigned = True
        if partitions:
            self._generation += 1
        try:
            begun = self._partitions.begin([each.partition for each in partitions], {})
            consumer.incremental_assign(begun)
        except BaseException:
            self._broken = True  # librdkafka would go on from positions that are not known here
            raise
        named = self._config.full_name
        _logger.info(
            "%s: %s has partitions %s",
            named(self._topic),
            named(self._group),
            sorted(self.positions),
        )

    def _goes(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._on_revoke()
        except RetriableError as error:
            name = self._config.full_name(self._topic)
            _logger.info("%s: what was not committed is read again: %s", name, error)
        self._gone(consumer, partitions)

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assert self._partitions is not None  # noqa: S101 - as above
        if partitions:
            self._generation += 1
        self._partitions.end(each.partition for each in partitions)
        consumer.incremental_unassign(partitions)


def commit_positions(
    consumer: Consumer, config: KafkaClientConfig, topic: str, positions: Positions
) -> bool:
    """Commit; return whether the group still takes it from this member.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    if not positions:
        return True
    name = config.full_name(topic)
    offsets = [TopicPartition(name, each, at) for each, at in positions.items()]
    try:
        answers: Any = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() in LOST_PARTITIONS:
            _logger.info("%s: another reader has the partitions now: %s", name, error)
            return False
        raise translate_error(error.args[0], config) from error
    for answer in answers or ():
        if answer.error is not None:
            raise translate_error(answer.error, config)
    return True
