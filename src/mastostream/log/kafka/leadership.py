"""Leader election: one process of a group holds the lease; the others stand by.

The lease is the only partition of a topic: Kafka assigns it to one member of the consumer group.
"""

import logging
from contextlib import suppress
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translate_error, translated
from mastostream.log.kafka.topics import ensure_topics

__all__ = ["Leadership"]

_PARTITION: Final = 0
_READ_ERRORS: Final = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
)
"""Errors that matter only to a consumer that reads the partition; here it is a token."""

_logger = logging.getLogger(__name__)


class Leadership:
    """The membership of one process in a group of which one member leads.

    When the leader goes away, another member leads within the consumer's session time-out.

    Attributes:
        leads: whether this member holds the partition.
        stands_by: whether Kafka has assigned the partition to another member. While neither is
            true, the outcome is not known yet.
    """

    def __init__(self, config: KafkaClientConfig, topic: str, group: str) -> None:
        """Store the configuration; the first :meth:`poll` joins the group.

        Args:
            config: the Kafka to use.
            topic: a topic with one partition; created if it is missing.
            group: the consumer group of the processes that compete.
        """
        self.leads = self.stands_by = False
        self._config = config
        self._topic = topic
        self._group = group
        self._consumer: Consumer | None = None

    def poll(self, timeout_s: float) -> bool:
        """Stay a member of the group; return whether this member leads.

        Has to be called more often than the consumer's poll interval (``max.poll.interval.ms``).

        Args:
            timeout_s: the longest time to wait for an event of the group, in seconds.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
        """
        consumer = self._consumer or self._join()
        with translated(self._config):
            message = consumer.poll(timeout_s)
        error = None if message is None else message.error()
        if error is not None and error.code() not in _READ_ERRORS:
            problem = translate_error(error, self._config)
            if error.fatal() or not isinstance(problem, RetriableError):
                self.leave()
                raise problem
        return self.leads

    def leave(self) -> None:
        """Leave the group, so that another member can lead; the next :meth:`poll` joins again."""
        if self._consumer is not None:
            with suppress(KafkaException, RuntimeError):
                self._consumer.close()
        self._consumer = None
        self.leads = self.stands_by = False

    def _join(self) -> Consumer:
        ensure_topics(self._config, [self._topic], compacted=True)
        with translated(self._config):
            consumer = self._config.clients.consumer(self._config.consumer(self._group))
            consumer.subscribe(
                [self._config.full_name(self._topic)],
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_revoke,
            )
        self._consumer = consumer
        return consumer

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            partition.offset = OFFSET_END
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)  # The partition is only a token; its records are not read.
        self.leads = self.leads or any(
            partition.partition == _PARTITION for partition in partitions
        )
        self.stands_by = not self.leads
        _logger.info(
            "%s: %s", self._config.full_name(self._group), "leads" if self.leads else "stands by"
        )

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if any(partition.partition == _PARTITION for partition in partitions):
            self.leads = False
        consumer.incremental_unassign(partitions)
