"""Kafka's clients in memory, for what a real broker does only now and then."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import attrs
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic, OffsetSpec

from mastostream.log.kafka import KafkaClientConfig
from mastostream.log.kafka.clients import KafkaClients

__all__ = ["FakeConsumer", "FakeKafka", "FakeProducer", "error"]


def error(code: int) -> KafkaError:
    """An error as Kafka's client makes it."""
    return KafkaError(code, f"error {code}")


@attrs.frozen
class _Message:
    number: int | None
    at: int
    failed: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.failed

    def partition(self) -> int | None:
        return self.number

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"%d/%d" % (self.number or 0, self.at)

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (1, 1)


@attrs.define
class FakeKafka:
    """Topics that are all alike, and what the only group has committed.

    Attributes:
        ends: how many records each partition has.
        firsts: the oldest record of each that is kept, where it is not 0.
        committed: by the group.
        refuses_commit: the answer to a commit, if it is not taken.
        refuses_offsets: the answer to the question where partitions begin and end, likewise.
        script: what comes next: so many records; an error; an error of a partition; a change.
        topics: that there are.
        consumers: all that were opened.
        names: of all topics, groups and transactions that it was told.
        producers: all that were opened.
    """

    ends: dict[int, int]
    firsts: dict[int, int] = attrs.field(factory=dict)
    committed: dict[int, int] = attrs.field(factory=dict)
    refuses_commit: KafkaError | None = None
    refuses_offsets: KafkaError | None = None
    script: deque[Any] = attrs.field(factory=deque)
    topics: set[str] = attrs.field(factory=lambda: {"t"})
    consumers: list["FakeConsumer"] = attrs.field(factory=list)
    names: set[str] = attrs.field(factory=set)
    producers: list["FakeProducer"] = attrs.field(factory=list)

    @property
    def consumer(self) -> "FakeConsumer":
        return self.consumers[-1]

    @property
    def sent(self) -> list[bytes]:
        """What all producers were given."""
        return [value for producer in self.producers for value in producer.values]

    def config(self, topic_prefix: str = "", **settings: str) -> KafkaClientConfig:
        """Where it is."""
        clients: Any = KafkaClients(
            consumer=self._consumer,  # type: ignore[arg-type]  # it has what is used
            producer=self._producer,  # type: ignore[arg-type]  # likewise
            admin=lambda _: _FakeAdmin(self),  # type: ignore[arg-type,return-value]  # likewise
        )
        return KafkaClientConfig(
            servers="none.example:1", topic_prefix=topic_prefix, settings=settings, clients=clients
        )

    def _consumer(self, config: dict[str, Any]) -> "FakeConsumer":
        self.names.add(config["group.id"])
        self.consumers.append(FakeConsumer(self))
        return self.consumers[-1]

    def _producer(self, config: dict[str, Any]) -> "FakeProducer":
        self.producers.append(FakeProducer(config, self.names))
        return self.producers[-1]


class FakeConsumer:
    """Gives the records of its partitions in turn.

    Attributes:
        takes_no_seek: partitions.
        stopped: partitions whose offset was refused; they give nothing until they are taken anew.
        at: the next record of each partition.
        polls: how often it was asked for one.
    """

    def __init__(self, kafka: FakeKafka) -> None:
        self.takes_no_seek: set[int] = set()
        self.stopped: set[int] = set()
        self.at: dict[int, int] = {}
        self.polls = 0
        self._kafka = kafka
        self._on: dict[str, Callable[..., None]] = {}
        self._topic = ""

    def come(self, *partitions: int) -> None:
        """Partitions come, as they do within a poll."""
        self._on["on_assign"](self, [TopicPartition(self._topic, each) for each in partitions])

    def go(self, *partitions: int) -> None:
        """Partitions go in peace."""
        self._on["on_revoke"](self, [TopicPartition(self._topic, each) for each in partitions])

    def subscribe(self, topics: list[str], **on: Callable[..., None]) -> None:
        (self._topic,) = topics
        self._kafka.names.add(self._topic)
        self._on = on

    def poll(self, _: float) -> _Message | None:
        self.polls += 1
        script = self._kafka.script
        if script and callable(script[0]):
            script.popleft()()
            return None
        return next(iter(self.consume(1, 0)), None)

    def consume(self, count: int, _: float) -> list[_Message]:
        found: list[_Message] = []
        while len(found) < count and (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> _Message | None:
        script = self._kafka.script
        if script and callable(script[0]):
            return None
        if script and isinstance(script[0], KafkaError):
            return _Message(None, -1, script.popleft())
        if script and isinstance(script[0], tuple):
            partition, failed = script.popleft()
            if failed.code() == KafkaError._AUTO_OFFSET_RESET:
                self.stopped.add(partition)
            return _Message(partition, -1, failed)
        if script:
            script[0] -= 1
            if not script[0]:
                script.popleft()
        for partition, at in self.at.items():
            if at < self._kafka.ends[partition] and partition not in self.stopped:
                self.at[partition] = at + 1
                return _Message(partition, at)
        return None

    def _named(self, places: list[TopicPartition]) -> None:
        self._kafka.names.update(each.topic for each in places)

    def seek(self, to: TopicPartition) -> None:
        self._named([to])
        if to.partition in self.takes_no_seek | self.stopped or to.partition not in self.at:
            raise KafkaException(error(KafkaError._STATE))
        self.at[to.partition] = to.offset

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._named(partitions)
        self.stopped |= {each.partition for each in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._named(partitions)
        self.stopped -= {each.partition for each in partitions}

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._named(partitions)
        self.at = {each.partition: each.offset for each in partitions}

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self._named(partitions)
        self.at.update({each.partition: each.offset for each in partitions})

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            if self.at.pop(each.partition, None) is None:
                raise KafkaException(error(KafkaError._STATE))
            self.stopped.discard(each.partition)

    def consumer_group_metadata(self) -> None:
        """Nothing that anybody looks into."""

    def committed(self, wanted: list[TopicPartition], **_: object) -> list[TopicPartition]:
        self._named(wanted)
        here = self._kafka.committed
        return [
            TopicPartition(each.topic, each.partition, here.get(each.partition, -1))
            for each in wanted
        ]

    def commit(self, *, offsets: list[TopicPartition], **_: object) -> list[TopicPartition]:
        if self._kafka.refuses_commit is not None:
            raise KafkaException(self._kafka.refuses_commit)
        self._named(offsets)
        self._kafka.committed.update({each.partition: each.offset for each in offsets})
        return offsets

    def close(self) -> None:
        self.at = {}


class FakeProducer:
    """Takes what it is given; reports what it is told to.

    Attributes:
        config: its settings.
        names: gets those of topics and transactions.
        values: of all records that it took.
        reports: what is called at the next poll.
        refuses: what it says to a record that it does not take.
        unconfirmed: how many records a flush leaves.
    """

    def __init__(self, config: dict[str, Any], names: set[str] | None = None) -> None:
        self.config = config
        self.names = set() if names is None else names
        self.names |= {config[name] for name in ("transactional.id",) if name in config}
        self.values: list[bytes] = []
        self.reports: list[Callable[[], None]] = []
        self.refuses: KafkaException | None = None
        self.unconfirmed = 0

    def produce(self, topic: str, value: bytes, *_: object, **__: object) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.names.add(topic)
        self.values.append(value)

    def poll(self, _: float) -> int:
        for report in self.reports:
            report()
        self.reports.clear()
        return 0

    def flush(self, _: float) -> int:
        self.poll(0)
        return self.unconfirmed

    def purge(self) -> None:
        """Nothing is on its way."""

    def init_transactions(self, _: float) -> None:
        """Nobody else has the name."""

    def begin_transaction(self) -> None:
        """Begin."""

    def commit_transaction(self, _: float) -> None:
        """Done."""

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], *_: object) -> None:
        self.names.update(each.topic for each in offsets)


@attrs.frozen
class _FakeAdmin:
    kafka: FakeKafka

    def poll(self, _: float) -> int:
        return 0

    def list_topics(self, **_: object) -> SimpleNamespace:
        partition = SimpleNamespace(leader=0, replicas=[0])
        topic = SimpleNamespace(error=None, partitions=dict.fromkeys(self.kafka.ends, partition))
        return SimpleNamespace(topics=dict.fromkeys(self.kafka.topics, topic))

    def create_topics(self, topics: Collection[NewTopic], **_: object) -> dict[str, Future[None]]:
        self.kafka.topics |= {each.topic for each in topics}
        return {each.topic: _done(None) for each in topics}

    def describe_configs(self, resources: list[ConfigResource]) -> dict[ConfigResource, Any]:
        assert {each.name for each in resources} <= self.kafka.topics
        return {each: _done({}) for each in resources}

    def list_offsets(
        self, asked: Mapping[TopicPartition, OffsetSpec], **_: object
    ) -> dict[TopicPartition, Future[Any]]:
        if self.kafka.refuses_offsets is not None:
            raise KafkaException(self.kafka.refuses_offsets)
        self.kafka.names.update(each.topic for each in asked)
        oldest = OffsetSpec.earliest()
        firsts, ends = self.kafka.firsts, self.kafka.ends
        return {
            each: _done(
                SimpleNamespace(
                    offset=firsts.get(each.partition, 0) if spec is oldest else ends[each.partition]
                )
            )
            for each, spec in asked.items()
        }


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future
