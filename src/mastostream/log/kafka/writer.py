"""Appending to the log."""

from collections.abc import Callable, Sequence

from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.producer import RecordProducer
from mastostream.ports.log import NewRecord

__all__ = ["KafkaLogWriter"]


class KafkaLogWriter:
    """A :class:`ports.log.LogWriter` on Kafka: idempotent, acknowledged by all copies in sync.

    ``append`` returns once Kafka has confirmed every record. After a RetriableError the records
    are still on their way: the same list, handed over again, is waited for and not sent twice.
    """

    def __init__(
        self, config: KafkaClientConfig, *, now_ms: Callable[[], int] | None = None
    ) -> None:
        """Connect; no request is made yet.

        Args:
            config: where; a topic that is missing is created at its first record.
            now_ms: the time that records get; the client's own where it is missing.

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
