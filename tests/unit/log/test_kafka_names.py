"""The adapter puts the prefix before every name that Kafka hears, and takes it off records."""

from contextlib import closing

import pytest
from confluent_kafka import KafkaError

from mastostream.log.kafka import (
    KafkaEngineLog,
    KafkaLogReader,
    KafkaPlace,
    KafkaSharedReader,
    KafkaWindowLog,
    check_topics,
    ensure_topics,
    kafka_topic_facts,
)
from mastostream.log.kafka.consuming import Partitions
from mastostream.log.kafka.merging import AHEAD, MergedPartitions
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.producing import Sender
from mastostream.log.kafka.topics import partitions_of
from mastostream.log.kafka.windows import WINDOWS
from mastostream.ports.log import Commit, NewRecord, Progress

from .fake_kafka import FakeKafka, error


@pytest.fixture(params=["", "team-a."])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kafka(prefix: str) -> FakeKafka:
    return FakeKafka({0: 6, 1: 6}, topics={f"{prefix}t"})


@pytest.fixture
def place(kafka: FakeKafka, prefix: str) -> KafkaPlace:
    return kafka.place(topic_prefix=prefix)


def test_partitions_that_wait_for_others_are_paused_under_their_prefix(
    kafka: FakeKafka, place: KafkaPlace
) -> None:
    """One partition has come far ahead of the other, which is then read."""
    kafka.ends = {0: 2 * AHEAD, 1: 6}
    partitions = Partitions(place, "t", "g")
    merged = MergedPartitions(place, "t", partitions)
    partitions.consumer.assign(partitions.begin([0, 1], {}))
    kafka.names.clear()
    merged.read(AHEAD + 10, 0.0)
    assert kafka.names == {place.full_name("t")}
    assert {record.topic for record in merged.to_the_end(100)} == {"t"}


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


def test_records_go_to_the_topic_with_the_prefix(kafka: FakeKafka, place: KafkaPlace) -> None:
    records = [NewRecord("a", None, b"1"), NewRecord("b", "k", b"2", (("h", b""),))]
    with closing(Sender(place)) as sender:
        sender.send(records)
        sender.send(records[:1])
        sender.flush()
    assert kafka.names == {place.full_name("a"), place.full_name("b")}
    assert kafka.sent == [b"1", b"2", b"1"]


def test_a_transaction_has_the_prefix_and_commits_the_topic_with_it(
    kafka: FakeKafka, place: KafkaPlace
) -> None:
    log = KafkaEngineLog(place, topic="t", group="g", delivery="exactly-once")
    kafka.script.append(lambda: kafka.consumer.come(0, 1))
    log.read({}, 10, 0.1)
    with closing(log):
        assert {record.topic for record in log.read({}, 10, 0.1)} == {"t"}
        kafka.names.clear()
        log.commit(Commit(records=[NewRecord("out", None, b"")], progress={}))
    transaction = kafka.producers[0].config["transactional.id"]
    assert transaction.startswith(place.full_name("g-"))
    assert kafka.names == {place.full_name("t"), place.full_name("out"), transaction}


def test_windows_are_kept_in_a_topic_with_the_prefix_whose_keys_are_without(
    kafka: FakeKafka, place: KafkaPlace
) -> None:
    kafka.ends = {0: 0}
    log = KafkaWindowLog(place, topic="t", analysis="count")
    kafka.script.append(lambda: kafka.consumers[0].come(0))
    log.read({}, 1, 0.1)
    with closing(log):
        log.read({}, 1, 0.0)
        progress = {"count": Progress(positions={0: 1})}
        log.commit(Commit(records=[NewRecord("out", None, b"")], progress=progress))
    group = "mastostream-windows-count"
    names = ("t", "out", WINDOWS, group, f"{group}-state", f"{group}-input")
    assert kafka.names == set(map(place.full_name, names))
    assert kafka.producers[0].config["transactional.id"] == place.full_name(group)


def test_topics_are_made_and_looked_at_under_their_prefix(
    kafka: FakeKafka, place: KafkaPlace
) -> None:
    kafka.topics = {"a", "b", place.full_name("a")}
    own = ["a", "b", "c"]
    missing = [name for name in own if place.full_name(name) not in kafka.topics]
    checks, told = check_topics(place, own, create=False)
    assert [each.topic for each in checks] == [
        place.full_name(name) for name in own if name not in missing
    ]
    assert told == tuple(map(place.full_name, missing))
    assert ensure_topics(place, own) == tuple(missing)
    assert kafka.topics == {"a", "b", *map(place.full_name, own)}
    assert ensure_topics(place, own) == ()
    checks, told = check_topics(place, [*own, "d"], create=True)
    assert [each.topic for each in checks if each.created] == [place.full_name("d")]
    assert not told


def test_facts_of_topics_name_them_as_the_pipeline_does(
    kafka: FakeKafka, place: KafkaPlace
) -> None:
    kafka.topics = {"b", place.full_name("a")}
    assert partitions_of(place, "a") == (0, 1)
    assert bool(partitions_of(place, "b")) == (not place.topic_prefix)
    facts = kafka_topic_facts(place, ["a", "b", "none"])
    assert {each.topic for each in facts} == ({"a"} if place.topic_prefix else {"a", "b"})


def test_offsets_are_asked_of_the_topic_with_the_prefix(
    kafka: FakeKafka, place: KafkaPlace
) -> None:
    offsets = Offsets(place)
    assert offsets.first("t", [0]) == {0: 0}
    assert offsets.end("t", [0]) == {0: 6}
    assert kafka.names == {place.full_name("t")}
