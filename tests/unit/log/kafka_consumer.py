"""A consumer of Kafka in memory, for what a real broker does only now and then."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from mastostream.log.kafka import consuming, leadership, reader, windows
from mastostream.log.kafka.offsets import Offsets

__all__ = ["FakeConsumer", "FakeKafka", "error"]


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
    """One topic, and what its only group has committed.

    Attributes:
        ends: how many records each partition has.
        firsts: the oldest record of each that is kept, where it is not 0.
        committed: by the group.
        refuses_commit: the answer to a commit, if it is not taken.
        script: what comes next: so many records; an error; an error of a partition; a change.
        consumers: all that were opened.
        names: of all topics and groups that it was told.
    """

    ends: dict[int, int]
    firsts: dict[int, int] = attrs.field(factory=dict)
    committed: dict[int, int] = attrs.field(factory=dict)
    refuses_commit: KafkaError | None = None
    script: deque[Any] = attrs.field(factory=deque)
    consumers: list["FakeConsumer"] = attrs.field(factory=list)
    names: set[str] = attrs.field(factory=set)

    @property
    def consumer(self) -> "FakeConsumer":
        return self.consumers[-1]

    def put_in_place(self, patch: pytest.MonkeyPatch) -> "FakeKafka":
        """Let readers find this Kafka."""

        def opened(config: Mapping[str, Any]) -> FakeConsumer:
            self.names.add(config["group.id"])
            self.consumers.append(FakeConsumer(self))
            return self.consumer

        def end(_: Offsets, __: str, of: Iterable[int], **___: object) -> dict[int, int]:
            return {each: self.ends[each] for each in of}

        def first(_: Offsets, __: str, of: Iterable[int]) -> dict[int, int]:
            return {each: self.firsts.get(each, 0) for each in of}

        for module in (consuming, leadership):
            patch.setattr(module, "Consumer", opened)
        for module in (reader, leadership):
            patch.setattr(module, "ensure_topics", lambda *_, **__: ())
        for module in (consuming, windows):
            patch.setattr(module, "partitions_of", lambda *_: tuple(self.ends))
        patch.setattr(Offsets, "end", end)
        patch.setattr(Offsets, "first", first)
        return self


class FakeConsumer:
    """Gives the records of its partitions in turn.

    Attributes:
        takes_no_seek: partitions.
        stopped: partitions whose offset was refused; they give nothing until they are taken anew.
        at: the next record of each partition.
    """

    def __init__(self, kafka: FakeKafka) -> None:
        self.takes_no_seek: set[int] = set()
        self.stopped: set[int] = set()
        self.at: dict[int, int] = {}
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
