"""The log in Kafka for engines of per-post analyses, which share partitions as a consumer group."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, Protocol
from uuid import uuid4

from confluent_kafka import KafkaException, TopicPartition

from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translate_error
from mastostream.log.kafka.producer import CALL_TIMEOUT_S, RecordProducer
from mastostream.log.kafka.reader import KafkaSharedReader
from mastostream.ports.log import Commit, Positions, Progress, Record, WindowStore

__all__ = ["KafkaEngineLog"]

COMMIT_EVERY_S: Final = 1.0
"""The default time between two commits of positions with at-least-once delivery, in seconds."""

TRANSACTION_S: Final = 10
"""The time-out of a transaction with exactly-once delivery, in seconds. The open transaction of an
engine that was killed blocks the readers of the outputs for so long."""

_ATTEMPTS: Final = 3
"""How often the end of a transaction is requested."""


class KafkaEngineLog:
    """A :class:`ports.log.EngineLog` on Kafka, used by one thread.

    At-least-once delivery: outputs are sent at once. Positions are committed after Kafka has
    confirmed all outputs that belong to them. After a crash, the outputs since the last commit are
    sent again, with the same keys and versions.

    Exactly-once delivery: each commit is one transaction that includes the positions. A reader of
    committed records sees each output once.

    Engines with the same analyses share the partitions, and the positions belong to the group.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the user, given by name
        self,
        config: KafkaClientConfig,
        *,
        topic: str,
        group: str,
        delivery: Literal["at-least-once", "exactly-once"] = "at-least-once",
        commit_every_s: float = COMMIT_EVERY_S,
        now_ms: Callable[[], int] | None = None,
        from_beginning: bool = False,
    ) -> None:
        """Create the clients; the first read joins the group.

        Args:
            config: the Kafka to use.
            topic: the input topic.
            group: the consumer group of the engines that share the work.
            delivery: the guarantee for a reader of the outputs.
            commit_every_s: seconds between two commits of positions with at-least-once delivery.
                After a crash, the outputs of up to this time are sent again.
            now_ms: returns the timestamp of an output, in milliseconds since the epoch. By default
                librdkafka uses the system's clock.
            from_beginning: whether each partition is read from its oldest record, until a position
                of it is committed here.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        self._reader = KafkaSharedReader(
            config,
            topic=topic,
            group=group,
            from_beginning=from_beginning,
            on_revoke=self._on_revoke,
        )
        self._outputs: _Outputs = (
            _ExactlyOnce(config, topic, group, self._reader, now_ms)
            if delivery == "exactly-once"
            else _AtLeastOnce(config, self._reader, commit_every_s, now_ms)
        )

    @property
    def generation(self) -> int:
        return self._reader.generation

    @property
    def lost(self) -> int:
        return self._reader.lost

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:  # noqa: ARG002 - Kafka stores the group's positions
        return {}

    def windows(self, analysis: str) -> WindowStore:
        raise ConfigurationError(f"{analysis}: its windows need a KafkaWindowLog")

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:  # noqa: ARG002 - the reader has the positions
        generation = self._reader.generation
        records = self._reader.read(max_records, timeout_s)
        if records and self._reader.generation != generation:
            # Some records may be of a partition that was revoked: another engine processes them.
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
            pass  # Records whose positions are not committed are read again.
        finally:
            self._reader.close()
            self._outputs.close()

    def _on_revoke(self) -> None:
        self._outputs.settle()


class _Outputs(Protocol):
    """One way to send outputs and commit positions."""

    def commit(self, commit: Commit) -> None: ...

    def settle(self) -> None:
        """Wait until Kafka has confirmed all outputs that were sent; commit their positions."""

    def close(self) -> None: ...


class _AtLeastOnce:
    """Sends outputs at once, and commits positions from time to time."""

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
        self._last_commit: Commit | None = None
        self._uncommitted: Positions | None = None
        self._due_s = 0.0

    def commit(self, commit: Commit) -> None:
        # The same commit comes again if only its positions could not be committed.
        if commit is not self._last_commit:
            with self._rejoin_if_refused():
                self._sender.send(commit.records)
            self._last_commit, self._uncommitted = commit, self._reader.positions
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + self._commit_every_s
            self.settle()

    def settle(self) -> None:
        if self._uncommitted is not None:
            with self._rejoin_if_refused():
                self._sender.flush()
            if self._reader.try_commit(self._uncommitted):
                self._uncommitted = None

    @contextmanager
    def _rejoin_if_refused(self) -> Iterator[None]:
        """If Kafka refuses an output in the block, read on from the committed positions.

        No position after a refused output may be committed.
        """
        before = self._sender.refused
        try:
            yield
        except BaseException:
            if self._sender.refused > before:
                self._last_commit = self._uncommitted = None
                self._reader.rejoin()
            raise

    def close(self) -> None:
        self._uncommitted = None
        self._sender.close()


class _ExactlyOnce:
    """Puts outputs and positions into one transaction for each commit."""

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
            assert consumer is not None  # noqa: S101 - a commit follows a read, which creates it
            name = self._config.full_name(self._topic)
            offsets = [
                TopicPartition(name, partition, offset)
                for partition, offset in self._reader.positions.items()
            ]
            sender.producer.send_offsets_to_transaction(
                offsets, consumer.consumer_group_metadata(), CALL_TIMEOUT_S
            )
            _commit_transaction(sender)
            self._reader.has_committed(offset.partition for offset in offsets)
        except KafkaException as error:
            problem = sender.transaction_error(error)
            self._give_up(sender)
            raise problem from error
        except BaseException:
            self._give_up(sender)
            raise

    def settle(self) -> None:
        """Do nothing: each commit has committed its positions."""

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _begin(self) -> RecordProducer:
        sender = RecordProducer(
            self._config,
            now_ms=self._now_ms,
            **{
                # The generation of the group decides which engine may commit (KIP-447), so any
                # unique id will do.
                "transactional.id": self._config.full_name(f"{self._group}-{uuid4()}"),
                "transaction.timeout.ms": TRANSACTION_S * 1000,
            },
        )
        try:
            sender.producer.init_transactions(CALL_TIMEOUT_S)
        except KafkaException as error:
            sender.close()
            raise translate_error(error.args[0], self._config) from error
        self._sender = sender
        return sender

    def _give_up(self, sender: RecordProducer) -> None:
        """Abort the transaction; the engine that has the partitions then reads its input again."""
        self._reader.rejoin()
        try:
            sender.producer.abort_transaction(CALL_TIMEOUT_S)
        except KafkaException:
            pass  # Kafka aborts it after its time-out.
        finally:
            sender.close()
            self._sender = None


def _commit_transaction(sender: RecordProducer) -> None:
    """Commit the transaction, with retries.

    If no try gets a response, it may or may not be committed; the group's positions show it later.
    """
    for attempt in range(_ATTEMPTS):
        try:
            sender.producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            problem = error.args[0]
            last = attempt == _ATTEMPTS - 1
            if last or not problem.retriable() or problem.txn_requires_abort():
                raise
        else:
            return
