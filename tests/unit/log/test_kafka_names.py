"""The adapter puts the prefix before every name that Kafka hears, and takes it off records."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import attrs
import pytest
from confluent_kafka import KafkaError

from mastostream.log.kafka import (
    KafkaEngineLog,
    KafkaLogReader,
    KafkaPlace,
    KafkaSharedReader,
    KafkaWindowLog,
    check_topics,
    engine,
    ensure_topics,
    kafka_topic_facts,
    merging,
    producing,
    topics,
    windows,
)
from mastostream.log.kafka.consuming import Partitions
from mastostream.log.kafka.merging import MergedPartitions
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.producing import Sender
from mastostream.log.kafka.topics import partitions_of
from mastostream.ports.log import Commit, NewRecord, Progress

from .kafka_consumer import FakeKafka, error

PREFIXES = ["", "team-a."]


@pytest.fixture(params=PREFIXES)
def place(request: pytest.FixtureRequest) -> KafkaPlace:
    return KafkaPlace(servers="none.example:1", topic_prefix=request.param)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    return FakeKafka({0: 6, 1: 6}).put_in_place(monkeypatch)


def test_partitions_that_wait_for_others_are_paused_under_their_prefix(
    kafka: FakeKafka, place: KafkaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One partition has come far ahead of the other, which is then read."""
    monkeypatch.setattr(merging, "AHEAD", 2)
    partitions = Partitions(place, "t", "g")
    merged = MergedPartitions(place, "t", partitions)
    partitions.consumer.assign(partitions.begin([0, 1], {}))
    kafka.names.clear()
    merged.read(4, 0.0)
    assert kafka.names == {place.full_name("t")}
    assert {record.topic for record in merged.to_the_end(100)} == {"t"}


@attrs.define
class Produced:
    """What producers were told.

    Attributes:
        settings: of each producer.
        records: topic and key.
        offsets: topics whose positions a transaction committed.
    """

    settings: list[dict[str, Any]] = attrs.field(factory=list)
    records: list[tuple[str, str | None]] = attrs.field(factory=list)
    offsets: list[str] = attrs.field(factory=list)

    def __call__(self, settings: dict[str, Any]) -> "Produced":
        self.settings.append(settings)
        return self

    def produce(self, topic: str, _: bytes | None, key: str | None, **__: object) -> None:
        self.records.append((topic, key))

    def flush(self, _: float) -> int:
        return 0

    def poll(self, _: float) -> int:
        return 0

    def purge(self) -> None:
        """Nothing waits."""

    def init_transactions(self, _: float) -> None:
        """Nobody else has the name."""

    def begin_transaction(self) -> None:
        """Begin."""

    def commit_transaction(self, _: float) -> None:
        """Done."""

    def send_offsets_to_transaction(self, offsets: list[Any], *_: object) -> None:
        self.offsets += [each.topic for each in offsets]


@pytest.fixture
def produced(monkeypatch: pytest.MonkeyPatch) -> Produced:
    found = Produced()
    monkeypatch.setattr(producing, "Producer", found)
    monkeypatch.setattr(producing, "ensure_topics", lambda *_: ())
    return found


@pytest.mark.parametrize("kind", [KafkaSharedReader, KafkaLogReader])
def test_readers_read_the_topic_with_the_prefix_and_give_records_without(
    kafka: FakeKafka, place: KafkaPlace, kind: type[KafkaSharedReader] | type[KafkaLogReader]
) -> None:
    with closing(kind(place, topic="t", group="g")) as reader:
        kafka.script.append(lambda: None if kind is KafkaLogReader else kafka.consumer.come(0, 1))
        reader.read(10, 0.1)
        kafka.script.extend([3, (1, error(KafkaError._AUTO_OFFSET_RESET))])
        records = [*reader.read(20, 0.1), *reader.read(20, 0.1)]
        reader.seek({0: 1})
        reader.read(0, 0.0)
        reader.commit({0: 2})
    assert records
    assert {record.topic for record in records} == {"t"}
    assert kafka.names == {place.full_name("t"), place.full_name("g")}


def test_records_go_to_the_topic_with_the_prefix(produced: Produced, place: KafkaPlace) -> None:
    records = [NewRecord("a", None, b"1"), NewRecord("b", "k", b"2", (("h", b""),))]
    with closing(Sender(place)) as sender:
        sender.send(records)
        sender.send(records[:1])
        sender.flush()
    named = place.full_name
    assert produced.records == [(named("a"), None), (named("b"), "k"), (named("a"), None)]


def test_a_transaction_has_the_prefix_and_commits_the_topic_with_it(
    kafka: FakeKafka, produced: Produced, place: KafkaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "uuid4", lambda: "u")
    log = KafkaEngineLog(place, topic="t", group="g", delivery="exactly-once")
    kafka.script.append(lambda: kafka.consumer.come(0, 1))
    log.read({}, 10, 0.1)
    monkeypatch.setattr(
        type(kafka.consumer), "consumer_group_metadata", lambda _: None, raising=False
    )
    with closing(log):
        assert {record.topic for record in log.read({}, 10, 0.1)} == {"t"}
        log.commit(Commit(records=[NewRecord("out", None, b"")], progress={}))
    named = place.full_name
    assert produced.settings[0]["transactional.id"] == named("g-u")
    assert produced.records == [(named("out"), None)]
    assert set(produced.offsets) == {named("t")}


def test_windows_are_kept_in_a_topic_with_the_prefix_whose_keys_are_without(
    kafka: FakeKafka, produced: Produced, place: KafkaPlace
) -> None:
    kafka.ends = {0: 0}
    log = KafkaWindowLog(place, topic="t", analysis="count")
    kafka.script.append(lambda: kafka.consumers[0].come(0))
    log.read({}, 1, 0.1)
    with closing(log):
        log.read({}, 1, 0.0)
        progress = {"count": Progress(positions={0: 1})}
        log.commit(Commit(records=[NewRecord("out", None, b"")], progress=progress))
    named = place.full_name
    group = "mastostream-windows-count"
    assert produced.settings[0]["transactional.id"] == named(group)
    assert produced.records == [(named("out"), None), (named(windows.WINDOWS), f"{group}/clock")]
    assert kafka.names == {
        named(name) for name in ("t", windows.WINDOWS, group, f"{group}-state", f"{group}-input")
    }


class Admin:
    """Knows topics, of one partition each; all names are those that Kafka has."""

    def __init__(self, *names: str) -> None:
        self.there = {name: {0: 1} for name in names}

    def create_topics(self, wanted: list[Any], **_: object) -> dict[str, "Future[None]"]:
        futures = {}
        for new in wanted:
            self.there[new.topic] = {0: 1}
            futures[new.topic] = done(None)
        return futures

    def describe_configs(self, resources: list[Any]) -> dict[Any, "Future[dict[str, Any]]"]:
        assert {each.name for each in resources} <= self.there.keys()
        return {each: done({}) for each in resources}


def done(result: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(result)
    return future


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch, place: KafkaPlace) -> Iterator[Admin]:
    """Has the topics ``a``, with and without a prefix, and ``b`` without."""
    admin = Admin("a", "b", place.full_name("a"))
    monkeypatch.setattr(topics, "topic_map", lambda _: (admin, admin.there))
    monkeypatch.setattr(topics, "offered", lambda *_: frozenset(admin.there))
    for name in ("first", "end"):
        monkeypatch.setattr(Offsets, name, lambda _, __, of: dict.fromkeys(of, 7))
    return admin


def test_topics_are_made_and_looked_at_under_their_prefix(place: KafkaPlace, admin: Admin) -> None:
    own = ["a", "b", "c"]
    missing = [name for name in own if place.full_name(name) not in admin.there]
    checks, told = check_topics(place, own, create=False)
    assert [each.topic for each in checks] == [
        place.full_name(name) for name in own if name not in missing
    ]
    assert told == tuple(map(place.full_name, missing))
    assert ensure_topics(place, own) == tuple(missing)
    assert admin.there.keys() == {"a", "b", *map(place.full_name, own)}
    assert ensure_topics(place, own) == ()
    checks, told = check_topics(place, [*own, "d"], create=True)
    assert [each.topic for each in checks if each.created] == [place.full_name("d")]
    assert not told


def test_facts_of_topics_name_them_as_the_pipeline_does(place: KafkaPlace, admin: Admin) -> None:
    assert partitions_of(place, "a") == (0,)
    assert bool(partitions_of(place, "b")) == (not place.topic_prefix)
    facts = kafka_topic_facts(place, ["a", "b", "none"])
    assert [each.topic for each in facts] == (["a"] if place.topic_prefix else ["a", "b"])


def test_offsets_are_asked_of_the_topic_with_the_prefix(
    place: KafkaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Client:
        def list_offsets(self, of: dict[Any, Any], **_: object) -> dict[Any, Any]:
            asked.extend(each.topic for each in of)
            return {each: done(Answer()) for each in of}

    class Answer:
        offset = 5

    offsets = Offsets(place)
    monkeypatch.setattr(offsets, "_admin", Client())
    assert offsets.first("t", [0]) == offsets.end("t", [0]) == {0: 5}
    assert set(asked) == {place.full_name("t")}
