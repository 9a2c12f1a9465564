"""Reads the first and the last offset of partitions.

These requests use a connection of their own. On the consumer's connection, the response would wait
behind a fetch request, which waits for records.
"""

from collections.abc import Collection

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, not declared
    AdminClient,
    OffsetSpec,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translated

__all__ = ["Offsets"]


class Offsets:
    """Requests offsets from Kafka; connects at the first request."""

    def __init__(self, config: KafkaClientConfig) -> None:
        self._config = config
        self._admin: AdminClient | None = None

    def first(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Return the offset of the oldest record that is kept, by partition.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
        """
        return self._request(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def end(
        self, topic: str, partitions: Collection[int], *, include_open: bool = False
    ) -> dict[int, int]:
        """Return the offset after the last record, by partition.

        Args:
            topic: the topic's name, without the prefix.
            partitions: the partitions of the topic to ask for.
            include_open: whether records of open transactions count. If not, the result is the
                offset after the last record that a reader of committed records can see.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
        """
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        level = IsolationLevel.READ_UNCOMMITTED if include_open else IsolationLevel.READ_COMMITTED
        return self._request(topic, partitions, latest, level)

    def _request(
        self,
        topic: str,
        partitions: Collection[int],
        spec: OffsetSpec,
        level: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[int, int]:
        """Request offsets, with retries up to the time-out: leaders may be changing or starting."""
        if not partitions:
            return {}
        retrying = Retrying(
            retry=retry_if_exception_type(RetriableError),
            stop=stop_after_delay(self._config.timeout_s),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        name = self._config.full_name(topic)
        specs = {TopicPartition(name, partition): spec for partition in partitions}
        return retrying(self._request_once, specs, level)

    def _request_once(
        self, specs: dict[TopicPartition, OffsetSpec], level: IsolationLevel
    ) -> dict[int, int]:
        try:
            with translated(self._config):
                if self._admin is None:
                    self._admin = self._config.clients.admin(self._config.admin())
                futures = self._admin.list_offsets(
                    specs, isolation_level=level, request_timeout=self._config.timeout_s
                )
                return {
                    partition.partition: future.result().offset
                    for partition, future in futures.items()
                }
        except RetriableError:
            # The old client would keep sending requests to the former leaders for minutes.
            self._admin = None
            raise
