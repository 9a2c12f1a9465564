"""Where partitions begin and end.

Asked on a connection of its own: on the consumer's, an answer waits behind the fetch that waits for
records.
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
    """Asks Kafka for offsets; connects at the first question."""

    def __init__(self, config: KafkaClientConfig) -> None:
        self._config = config
        self._admin: AdminClient | None = None

    def first(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Return the oldest offset that is kept, by partition.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
        """
        return self._ask(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def end(
        self, topic: str, partitions: Collection[int], *, with_open: bool = False
    ) -> dict[int, int]:
        """Return the offset after the last one that a reader of committed records may see.

        Args:
            topic: its name.
            partitions: of it.
            with_open: also what transactions that are open hold back: all that there is.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
        """
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        level = IsolationLevel.READ_UNCOMMITTED if with_open else IsolationLevel.READ_COMMITTED
        return self._ask(topic, partitions, latest, level)

    def _ask(
        self,
        topic: str,
        partitions: Collection[int],
        spec: OffsetSpec,
        level: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[int, int]:
        """Ask; while leaders change, or begin, for a moment."""
        if not partitions:
            return {}
        retrying = Retrying(
            retry=retry_if_exception_type(RetriableError),
            stop=stop_after_delay(self._config.timeout_s),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        name = self._config.full_name(topic)
        asked = {TopicPartition(name, partition): spec for partition in partitions}
        return retrying(self._ask_once, asked, level)

    def _ask_once(
        self, asked: dict[TopicPartition, OffsetSpec], level: IsolationLevel
    ) -> dict[int, int]:
        try:
            with translated(self._config):
                if self._admin is None:
                    self._admin = self._config.clients.admin(self._config.admin())
                answers = self._admin.list_offsets(
                    asked, isolation_level=level, request_timeout=self._config.timeout_s
                )
                return {each.partition: answer.result().offset for each, answer in answers.items()}
        except RetriableError:
            self._admin = None  # it would go on asking those that led before, for minutes
            raise
