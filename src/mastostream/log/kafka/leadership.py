"""Who of several processes does what only one may do: the member that has the one partition."""

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
_OF_THE_PARTITION: Final = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
)
"""What concerns only those who read it."""

_logger = logging.getLogger(__name__)


class Leadership:
    """Membership in a group that shares a topic of one partition: who has it, leads.

    When the leader goes, another member has the partition within the session time-out.

    Attributes:
        leads: whether this member has the partition.
        stands_by: whether the group has told this member that another one has it.
    """

    def __init__(self, config: KafkaClientConfig, topic: str, group: str) -> None:
        """Join at the first :meth:`look`.

        Args:
            config: where.
            topic: has one partition; made where it is missing.
            group: of those who compete.
        """
        self.leads = self.stands_by = False
        self._config = config
        self._topic = topic
        self._group = group
        self._consumer: Consumer | None = None

    def look(self, timeout_s: float) -> bool:
        """Keep the place in the group, for up to so long; return whether this member leads.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
        """
        consumer = self._consumer or self._join()
        with translated(self._config):
            message = consumer.poll(timeout_s)
        error = None if message is None else message.error()
        if error is not None and error.code() not in _OF_THE_PARTITION:
            problem = translate_error(error, self._config)
            if error.fatal() or not isinstance(problem, RetriableError):
                self.leave()
                raise problem
        return self.leads

    def leave(self) -> None:
        """Let another one lead; the next :meth:`look` joins again."""
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
                on_assign=self._came,
                on_revoke=self._went,
                on_lost=self._went,
            )
        self._consumer = consumer
        return consumer

    def _came(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            each.offset = OFFSET_END
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)  # it is only a token here
        self.leads = self.leads or any(each.partition == _PARTITION for each in partitions)
        self.stands_by = not self.leads
        _logger.info(
            "%s: %s", self._config.full_name(self._group), "leads" if self.leads else "stands by"
        )

    def _went(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if any(each.partition == _PARTITION for each in partitions):
            self.leads = False
        consumer.incremental_unassign(partitions)
