"""Sending records, and being told of those that could not be sent."""

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

PATIENCE_S: Final = 10.0
"""How long one call waits for Kafka before it says that it waits."""

CLOSE_S: Final = 2.0


class RecordProducer:
    """A producer that remembers how far it came with the batch at hand.

    What was handed to librdkafka is sent until Kafka confirms it, without a time limit. So a batch
    that is handed over again after a RetriableError goes on where it stopped.

    Attributes:
        refused: how many records Kafka has refused for good. They may be of earlier batches than
            the one at hand: nobody sends them again.
    """

    def __init__(
        self, config: KafkaClientConfig, *, now_ms: Callable[[], int] | None = None, **settings: Any
    ) -> None:
        """Connect; no request is made yet.

        Args:
            config: where.
            now_ms: the time that records get; Kafka's client's own where it is missing.
            settings: more settings of the producer.
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
        """Hand over all of these; :meth:`flush` confirms them.

        Raises:
            RetriableError: Kafka does not take them fast enough; call again with the same list.
            FatalError, ConfigurationError: some cannot be sent at all.
        """
        if self._reports.dead:
            self._open()
        if self._batch is not records:
            self._batch, self._sent = records, 0
        self._make_topics(records)
        deadline_s = time.monotonic() + PATIENCE_S
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
                    self._raise_failed()  # a transaction takes no more after a refusal
                    raise translate_error(error.args[0], self._config) from error
        self._sent = len(records)
        self.producer.poll(0)
        self._raise_failed()

    def flush(self, timeout_s: float = PATIENCE_S) -> None:
        """Return once Kafka has confirmed everything that was sent.

        Raises:
            RetriableError: not yet; call again.
            FatalError, ConfigurationError: something cannot be sent at all.
        """
        left = self.producer.flush(timeout_s)
        self._raise_failed()
        if left:
            raise self._not_now(f"has not confirmed {left} records")
        self._reports.trouble = ""
        self._batch = None

    def why_given_up(self, error: KafkaException) -> MastostreamError:
        """Return why a transaction ended: the cause that no retry would change, if there is one."""
        self.producer.poll(0)
        problem: Any = error.args[0]
        for each in (problem, *self._reports.failed):
            cause = translate_error(each, self._config)
            if isinstance(cause, ConfigurationError) or each.code() in TOO_LARGE:
                return cause
        if problem.code() in LOST_PARTITIONS or problem.txn_requires_abort() or problem.fatal():
            return RetriableError(
                f"Kafka at {self._config.servers} did not take the transaction "
                f"({error_text(problem, self._config)}): its posts are read again"
            )
        return translate_error(problem, self._config)

    def close(self) -> None:
        """Let go of what Kafka does not confirm at once: nobody was told that it is kept."""
        if hasattr(self, "producer"):
            self.producer.flush(CLOSE_S)
            self.producer.purge()
            self.producer.flush(0)
            del self.producer  # and with it its threads and connections

    def _open(self) -> None:
        self._reports = _Reports(self._config)
        with translated(self._config):
            self.producer = self._config.clients.producer(
                self._config.producer(**self._settings, **self._reports.callbacks())
            )

    def _make_topics(self, records: Sequence[NewRecord]) -> None:
        """Make those that are missing, and note what each is called in Kafka."""
        unknown = {record[0] for record in records} - self._names.keys()
        if unknown:
            ensure_topics(self._config, sorted(unknown))
            self._names |= {topic: self._config.full_name(topic) for topic in unknown}

    def _wait(self, deadline_s: float) -> None:
        self.producer.poll(0.1)
        self._raise_failed()
        if time.monotonic() > deadline_s:
            raise self._not_now("does not take records")

    def _not_now(self, what: str) -> RetriableError:
        trouble = self._reports.trouble
        return RetriableError(
            f"Kafka at {self._config.servers} {what}" + (f" ({trouble})" if trouble else "")
        )

    def _raise_failed(self) -> None:
        failed = self._reports.failed
        if failed:
            self._reports.failed = []
            self.refused += len(failed)
            self._batch = None
            raise _worst([translate_error(error, self._config) for error in failed])


class _Reports:
    """What a producer reports aside. Apart from the sender, which the producer would keep alive.

    Attributes:
        dead: whether the producer takes nothing any more: another one has to go on.
        failed: of records that could not be sent, and what a producer died of.
        trouble: what was told last.
    """

    def __init__(self, config: KafkaClientConfig) -> None:
        self.dead = False
        self.failed: list[KafkaError] = []
        self.trouble = ""
        self._config = config

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Settings of the producer."""
        return {"error_cb": self._on_error, "on_delivery": self._on_delivery}

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.failed.append(error)

    def _on_error(self, error: KafkaError) -> None:
        self.trouble = error_text(error, self._config)
        if error.fatal():
            self.dead = True
            self.failed.append(error)


def _worst(errors: Sequence[MastostreamError]) -> MastostreamError:
    return next((each for each in errors if not isinstance(each, RetriableError)), errors[0])
