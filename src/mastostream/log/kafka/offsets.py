"""Where partitions begin and end.

Asked on a connection of its own: on the consumer's, an answer waits behind the fetch that waits for
records.
"""

from collections.abc import Collection
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, not declared
    AdminClient,
    OffsetSpec,
)
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.errors import translated
from mastostream.log.kafka.place import KafkaPlace

__all__ = ["TIMEOUT_S", "Offsets"]

TIMEOUT_S: Final = 10.0


class Offsets:
    """Asks Kafka for offsets; connects at the first question."""

    def __init__(self, place: KafkaPlace) -> None:
        self._place = place
        self._admin: AdminClient | None = None

    def first(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Return the oldest offset that is kept, by partition.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
        """
        return self._ask(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def end(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Return the offset after the last one that a reader of committed records may see.

        Raises:
            RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
        """
        return self._ask(topic, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    @retry(
        retry=retry_if_exception_type(RetriableError),
        stop=stop_after_delay(TIMEOUT_S),
        wait=wait_random(0.05, 0.2),
        reraise=True,
    )
    def _ask(self, topic: str, partitions: Collection[int], spec: OffsetSpec) -> dict[int, int]:
        """Ask, of a topic that has just been made for a moment: its leaders begin after it."""
        if not partitions:
            return {}
        with translated(self._place):
            if self._admin is None:
                self._admin = AdminClient(self._place.admin())
            asked = {TopicPartition(topic, partition): spec for partition in partitions}
            answers = self._admin.list_offsets(
                asked,
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=TIMEOUT_S,
            )
            return {each.partition: answer.result().offset for each, answer in answers.items()}
