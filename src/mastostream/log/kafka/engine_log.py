"""The log as an engine of per-post analyses uses it: engines share the partitions as a group."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, Protocol
from uuid import uuid4

from confluent_kafka import KafkaException, TopicPartition

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translate_error
from mastostream.log.kafka.producer import PATIENCE_S, RecordProducer
from mastostream.log.kafka.reader import KafkaSharedReader
from mastostream.ports.log import Commit, Positions, Progress, Record

__all__ = ["KafkaEngineLog"]

COMMIT_EVERY_S: Final = 1.0

TRANSACTION_S: Final = 10
"""Exactly once: how long the transaction of an engine that was killed holds up the readers."""

_ATTEMPTS: Final = 3


class KafkaEngineLog:
    """A :class:`ports.log.EngineLog` on Kafka, used by one thread.

    At least once: outputs are sent as they come; positions follow once Kafka has confirmed all
    outputs before them. After a crash the outputs since the last commit come again, under the same
    keys and versions. Exactly once: each commit is one transaction, positions included; a reader
    of committed records sees each output once.

    Engines with the same analyses share the partitions, and positions belong to the group.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the user's, by name
        self,
        config: KafkaClientConfig,
        *,
        topic: str,
        group: str,
        delivery: Literal["at-least-once", "exactly-once"] = "at-least-once",
        commit_every_s: float = COMMIT_EVERY_S,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Connect at the first read.

        Args:
            config: where.
            topic: the input.
            group: of the engines that share the work.
            delivery: what a reader of the outputs may rely on.
            commit_every_s: at least once: how often positions are committed, and so how much comes
                again after a crash.
            now_ms: the time that outputs get; the client's own where it is missing.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        self._reader = KafkaSharedReader(config, topic=topic, group=group, on_revoke=self._revoked)
        self._outputs: _Outputs = (
            _Transactions(config, topic, group, self._reader, now_ms)
            if delivery == "exactly-once"
            else _Sending(config, self._reader, commit_every_s, now_ms)
        )

    @property
    def generation(self) -> int:
        return self._reader.generation

    @property
    def lost(self) -> int:
        return self._reader.lost

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:  # noqa: ARG002 - the group knows
        return {}

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:  # noqa: ARG002 - as above
        generation = self._reader.generation
        records = self._reader.read(max_records, timeout_s)
        if records and self._reader.generation != generation:
            # Some may be of a partition that has gone: their positions are another engine's.
            self._reader.unread(records)
            records = ()
        if not records:
            self._outputs.settle()
        return records

    def commit(self, commit: Commit) -> None:
        self._outputs.commit(commit)

    def close(self) -> None:
        try:
            self._outputs.settle()
        except RetriableError:
            pass  # what was not committed is read again
        finally:
            self._reader.close()
            self._outputs.close()

    def _revoked(self) -> None:
        self._outputs.settle()


class _Outputs(Protocol):
    def commit(self, commit: Commit) -> None: ...

    def settle(self) -> None:
        """Commit the positions of all that was sent."""

    def close(self) -> None: ...


class _Sending:
    """At least once."""

    def __init__(
        self,
        config: KafkaClientConfig,
        reader: KafkaSharedReader,
        commit_every_s: float,
        now_ms: Callable[[], int] | None,
    ) -> None:
        self._commit_every_s = commit_every_s
        self._reader = reader
        self._sender = RecordProducer(config, now_ms=now_ms)
        self._taken: Commit | None = None
        self._sent: Positions | None = None
        self._due_s = 0.0

    def commit(self, commit: Commit) -> None:
        if commit is not self._taken:  # else only its positions could not be committed
            with self._all_or_again():
                self._sender.send(commit.records)
            self._taken, self._sent = commit, self._reader.positions
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + self._commit_every_s
            self.settle()

    def settle(self) -> None:
        if self._sent is not None:
            with self._all_or_again():
                self._sender.flush()
            if self._reader.try_commit(self._sent):
                self._sent = None

    @contextmanager
    def _all_or_again(self) -> Iterator[None]:
        """Where Kafka has refused an output, no position after it may be committed any more."""
        before = self._sender.refused
        try:
            yield
        except BaseException:
            if self._sender.refused > before:
                self._taken = self._sent = None
                self._reader.rejoin()
            raise

    def close(self) -> None:
        self._sent = None
        self._sender.close()


class _Transactions:
    """Exactly once."""

    def __init__(
        self,
        config: KafkaClientConfig,
        topic: str,
        group: str,
        reader: KafkaSharedReader,
        now_ms: Callable[[], int] | None,
    ) -> None:
        self._config = config
        self._topic = topic
        self._group = group
        self._reader = reader
        self._now_ms = now_ms
        self._sender: RecordProducer | None = None

    def commit(self, commit: Commit) -> None:
        sender = self._sender or self._begin()
        try:
            sender.producer.begin_transaction()
            sender.send(commit.records)
            consumer = self._reader.consumer
            assert consumer is not None  # noqa: S101 - something was read
            name = self._config.full_name(self._topic)
            offsets = [
                TopicPartition(name, partition, offset)
                for partition, offset in self._reader.positions.items()
            ]
            sender.producer.send_offsets_to_transaction(
                offsets, consumer.consumer_group_metadata(), PATIENCE_S
            )
            _commit_transaction(sender)
        except KafkaException as error:
            problem = sender.why_given_up(error)
            self._give_up(sender)
            raise problem from error
        except BaseException:
            self._give_up(sender)
            raise

    def settle(self) -> None:
        """Nothing is left open after a commit."""

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _begin(self) -> RecordProducer:
        sender = RecordProducer(
            self._config,
            now_ms=self._now_ms,
            **{
                # Who may commit is decided by the group's generation, so that the name is free.
                "transactional.id": self._config.full_name(f"{self._group}-{uuid4()}"),
                "transaction.timeout.ms": TRANSACTION_S * 1000,
            },
        )
        try:
            sender.producer.init_transactions(PATIENCE_S)
        except KafkaException as error:
            sender.close()
            raise translate_error(error.args[0], self._config) from error
        self._sender = sender
        return sender

    def _give_up(self, sender: RecordProducer) -> None:
        """Abort; what was read is read again, by whoever has the partitions then."""
        self._reader.rejoin()
        try:
            sender.producer.abort_transaction(PATIENCE_S)
        except KafkaException:
            pass  # its time-out ends it
        finally:
            sender.close()
            self._sender = None


def _commit_transaction(sender: RecordProducer) -> None:
    """Commit. Where no answer comes, the group's positions tell later whether it was done."""
    for attempt in range(_ATTEMPTS):
        try:
            sender.producer.commit_transaction(PATIENCE_S)
        except KafkaException as error:
            problem = error.args[0]
            last = attempt == _ATTEMPTS - 1
            if last or not problem.retriable() or problem.txn_requires_abort():
                raise
        else:
            return
