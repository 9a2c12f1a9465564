"""Sends records to Kafka, and raises errors for those that Kafka has refused."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message

from mastostream.exceptions import ConfigurationError, MastostreamError, RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import (
    LOST_PARTITIONS,
    TOO_LARGE,
    error_text,
    translate_error,
    translated,
)
from mastostream.log.kafka.topics import ensure_topics
from mastostream.ports.log import NewRecord

__all__ = ["RecordProducer"]

CALL_TIMEOUT_S: Final = 10.0
"""How long one call waits for Kafka before it raises a RetriableError, in seconds."""

CLOSE_TIMEOUT_S: Final = 2.0
"""How long ``close`` waits for Kafka to confirm the last records, in seconds."""


class RecordProducer:
    """A producer that remembers how much of the current batch it has given to librdkafka.

    librdkafka retries each record without a time limit, until Kafka confirms or refuses it. So when
    a batch is sent again after a RetriableError, only the records that are left are sent.

    Attributes:
        producer: confluent-kafka's producer; it is replaced after a fatal error.
        refused: how many records Kafka has refused for good. They may belong to earlier batches
            than the current one, and are not sent again.
    """

    def __init__(
        self, config: KafkaClientConfig, *, now_ms: Callable[[], int] | None = None, **settings: Any
    ) -> None:
        """Create the producer; it makes no request yet.

        Args:
            config: the Kafka to use.
            now_ms: returns the timestamp of a record, in milliseconds since the epoch. By default
                librdkafka uses the system's clock.
            settings: further settings of the producer.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        self.refused = 0
        self._config = config
        self._now_ms = now_ms
        self._settings = settings
        self._names: dict[str, str] = {}
        self._batch: Sequence[NewRecord] | None = None
        self._sent = 0
        self._open()

    def send(self, records: Sequence[NewRecord]) -> None:
        """Give records to librdkafka, which sends them in the background.

        :meth:`flush` waits until they are confirmed. Topics that are missing are created.

        Args:
            records: the batch. The same list object after a RetriableError means the same batch.

        Raises:
            RetriableError: Kafka does not accept them fast enough; call again with the same list.
            FatalError, ConfigurationError: some records cannot be sent at all.
        """
        if self._reports.is_dead:
            self._open()
        if self._batch is not records:
            self._batch, self._sent = records, 0
        self._ensure_topics(records)
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        produce, names = self.producer.produce, self._names
        timestamp = 0 if self._now_ms is None else self._now_ms()
        for number in range(self._sent, len(records)):
            topic, key, value, headers = records[number]
            name = names[topic]
            while True:
                try:
                    if headers:
                        produce(name, value, key, timestamp=timestamp, headers=list(headers))
                    else:
                        produce(name, value, key, timestamp=timestamp)
                    break
                except BufferError:
                    self._sent = number
                    self._wait(deadline_s)
                except KafkaException as error:
                    self._batch = None
                    self.producer.poll(0)
                    # Inside a transaction this error only says that nothing more is accepted;
                    # the refusal before it is the cause.
                    self._raise_failed()
                    raise translate_error(error.args[0], self._config) from error
        self._sent = len(records)
        self.producer.poll(0)
        self._raise_failed()

    def flush(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Return once Kafka has confirmed everything that was sent.

        Raises:
            RetriableError: some records are not confirmed yet; call again.
            FatalError, ConfigurationError: some records cannot be sent at all.
        """
        left = self.producer.flush(timeout_s)
        self._raise_failed()
        if left:
            raise self._retriable(f"has not confirmed {left} records")
        self._reports.last_error = ""
        self._batch = None

    def transaction_error(self, error: KafkaException) -> MastostreamError:
        """Return the exception to raise for a transaction that has failed.

        If one of the causes is an error that a retry cannot change, it is that one.
        """
        self.producer.poll(0)
        problem: Any = error.args[0]
        for failure in (problem, *self._reports.failed):
            cause = translate_error(failure, self._config)
            if isinstance(cause, ConfigurationError) or failure.code() in TOO_LARGE:
                return cause
        if problem.code() in LOST_PARTITIONS or problem.txn_requires_abort() or problem.fatal():
            return RetriableError(
                f"Kafka at {self._config.servers} did not take the transaction "
                f"({error_text(problem, self._config)}): its posts are read again"
            )
        return translate_error(problem, self._config)

    def close(self) -> None:
        """Close the producer, and drop the records that Kafka does not confirm in time.

        It waits for up to ``CLOSE_TIMEOUT_S``. No call has returned for the records that it drops,
        so no caller relies on them. A second call does nothing.
        """
        if hasattr(self, "producer"):
            self.producer.flush(CLOSE_TIMEOUT_S)
            self.producer.purge()
            self.producer.flush(0)
            del self.producer  # This also ends its threads and connections.

    def _open(self) -> None:
        self._reports = _Reports(self._config)
        with translated(self._config):
            self.producer = self._config.clients.producer(
                self._config.producer(**self._settings, **self._reports.callbacks())
            )

    def _ensure_topics(self, records: Sequence[NewRecord]) -> None:
        """Create the topics that are missing, and store the name that each one has in Kafka."""
        unknown = {record[0] for record in records} - self._names.keys()
        if unknown:
            ensure_topics(self._config, sorted(unknown))
            self._names |= {topic: self._config.full_name(topic) for topic in unknown}

    def _wait(self, deadline_s: float) -> None:
        self.producer.poll(0.1)
        self._raise_failed()
        if time.monotonic() > deadline_s:
            raise self._retriable("does not take records")

    def _retriable(self, what: str) -> RetriableError:
        last_error = self._reports.last_error
        return RetriableError(
            f"Kafka at {self._config.servers} {what}" + (f" ({last_error})" if last_error else "")
        )

    def _raise_failed(self) -> None:
        failed = self._reports.failed
        if failed:
            self._reports.failed = []
            self.refused += len(failed)
            self._batch = None
            raise _worst([translate_error(error, self._config) for error in failed])


class _Reports:
    """Collects what a producer reports by callback.

    It is an object of its own, because the producer keeps its callbacks alive: methods of the
    :class:`RecordProducer` would form a cycle of references, and the producer would never be freed.

    Attributes:
        is_dead: whether a fatal error has ended the producer, so that a new one is needed.
        failed: the errors of records that could not be sent, and the fatal error.
        last_error: the text of the last error; empty if there was none since the last flush.
    """

    def __init__(self, config: KafkaClientConfig) -> None:
        self.is_dead = False
        self.failed: list[KafkaError] = []
        self.last_error = ""
        self._config = config

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return the callbacks, as settings of the producer."""
        return {"error_cb": self._on_error, "on_delivery": self._on_delivery}

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.failed.append(error)

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = error_text(error, self._config)
        if error.fatal():
            self.is_dead = True
            self.failed.append(error)


def _worst(errors: Sequence[MastostreamError]) -> MastostreamError:
    """Return the first error that a retry cannot change, or else the first one."""
    return next((error for error in errors if not isinstance(error, RetriableError)), errors[0])
