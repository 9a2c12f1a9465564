"""Appends records to the log in Kafka."""

from collections.abc import Callable, Sequence

from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.producer import RecordProducer
from mastostream.ports.log import NewRecord

__all__ = ["KafkaLogWriter"]


class KafkaLogWriter:
    """A :class:`ports.log.LogWriter` on Kafka, with an idempotent producer.

    ``append`` returns once all in-sync replicas have every record. After a RetriableError,
    librdkafka still sends the records in the background. A call with the same list then only waits
    for them, and does not send them twice.
    """

    def __init__(
        self, config: KafkaClientConfig, *, now_ms: Callable[[], int] | None = None
    ) -> None:
        """Create the producer; it makes no request yet.

        Args:
            config: the Kafka to use. A missing topic is created before its first record is sent.
            now_ms: returns the timestamp of a record, in milliseconds since the epoch. By default
                librdkafka uses the system's clock.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        self._sender: RecordProducer | None = RecordProducer(config, now_ms=now_ms)

    def append(self, records: Sequence[NewRecord]) -> None:
        if not records:
            return
        if self._sender is None:
            raise ValueError("the writer is closed")
        self._sender.send(records)
        self._sender.flush()

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None
