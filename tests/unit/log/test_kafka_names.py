"""The adapter puts the prefix before every name that Kafka hears, and takes it off records."""

from contextlib import closing

import pytest
from confluent_kafka import KafkaError

from mastostream.core.windows import WindowSpec
from mastostream.log.kafka import (
    KafkaClientConfig,
    KafkaEngineLog,
    KafkaLogReader,
    KafkaSharedReader,
    KafkaWindowLog,
    check_topics,
    ensure_topics,
    kafka_topic_facts,
    kafka_topic_names,
)
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.partition_merge import BUFFER_RECORDS, MergedPartitions
from mastostream.log.kafka.partition_reader import PartitionReader
from mastostream.log.kafka.producer import RecordProducer
from mastostream.log.kafka.topics import partitions_of
from mastostream.log.kafka.window_state_store import WINDOWS
from mastostream.ports.log import Commit, NewRecord, Progress

from .fake_kafka import FakeKafka, error


@pytest.fixture(params=["", "team-a."])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kafka(prefix: str) -> FakeKafka:
    return FakeKafka({0: 6, 1: 6}, topics={f"{prefix}t"})


@pytest.fixture
def config(kafka: FakeKafka, prefix: str) -> KafkaClientConfig:
    return kafka.config(topic_prefix=prefix)


def test_partitions_that_wait_for_others_are_paused_under_their_prefix(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    """One partition has come far ahead of the other, which is then read."""
    kafka.ends = {0: 2 * BUFFER_RECORDS, 1: 6}
    partitions = PartitionReader(config, "t", "g")
    merged = MergedPartitions(config, "t", partitions)
    partitions.consumer.assign(partitions.take([0, 1], {}))
    kafka.names.clear()
    merged.read(BUFFER_RECORDS + 10, 0.0)
    assert kafka.names == {config.full_name("t")}
    assert {record.topic for record in merged.read_to_end(100)} == {"t"}


@pytest.mark.parametrize("kind", [KafkaSharedReader, KafkaLogReader])
def test_readers_read_the_topic_with_the_prefix_and_give_records_without(
    kafka: FakeKafka,
    config: KafkaClientConfig,
    kind: type[KafkaSharedReader] | type[KafkaLogReader],
) -> None:
    with closing(kind(config, topic="t", group="g")) as reader:
        kafka.script.append(lambda: None if kind is KafkaLogReader else kafka.consumer.come(0, 1))
        reader.read(10, 0.1)
        kafka.script.extend([3, (1, error(KafkaError._AUTO_OFFSET_RESET))])
        records = [*reader.read(20, 0.1), *reader.read(20, 0.1)]
        reader.seek({0: 1})
        reader.read(0, 0.0)
        reader.commit({0: 2})
    assert records
    assert {record.topic for record in records} == {"t"}
    assert kafka.names == {config.full_name("t"), config.full_name("g")}


def test_records_go_to_the_topic_with_the_prefix(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    records = [NewRecord("a", None, b"1"), NewRecord("b", "k", b"2", (("h", b""),))]
    with closing(RecordProducer(config)) as sender:
        sender.send(records)
        sender.send(records[:1])
        sender.flush()
    assert kafka.names == {config.full_name("a"), config.full_name("b")}
    assert kafka.sent == [b"1", b"2", b"1"]


def test_a_transaction_has_the_prefix_and_commits_the_topic_with_it(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    log = KafkaEngineLog(config, topic="t", group="g", delivery="exactly-once")
    kafka.script.append(lambda: kafka.consumer.come(0, 1))
    log.read({}, 10, 0.1)
    with closing(log):
        assert {record.topic for record in log.read({}, 10, 0.1)} == {"t"}
        kafka.names.clear()
        log.commit(Commit(records=[NewRecord("out", None, b"")], progress={}))
    transaction = kafka.producers[0].config["transactional.id"]
    assert transaction.startswith(config.full_name("g-"))
    assert kafka.names == {config.full_name("t"), config.full_name("out"), transaction}


def test_windows_are_kept_in_a_topic_with_the_prefix_whose_keys_are_without(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    kafka.ends = {0: 0}
    log = KafkaWindowLog(config, topic="t", analysis="count", spec=WindowSpec(size_ms=10_000))
    kafka.script.append(lambda: kafka.consumers[0].come(0))
    log.read({}, 1, 0.1)
    with closing(log):
        log.read({}, 1, 0.0)
        progress = {"count": Progress(positions={0: 1})}
        log.commit(Commit(records=[NewRecord("out", None, b"")], progress=progress))
    group = "mastostream-windows-count"
    names = ("t", "out", WINDOWS, group, f"{group}-state", f"{group}-input")
    assert kafka.names == set(map(config.full_name, names))
    assert kafka.producers[0].config["transactional.id"] == config.full_name(group)


def test_topics_are_made_and_looked_at_under_their_prefix(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    kafka.topics = {"a", "b", config.full_name("a")}
    own = ["a", "b", "c"]
    missing = [name for name in own if config.full_name(name) not in kafka.topics]
    checks, told = check_topics(config, own, create=False)
    assert [each.topic for each in checks] == [
        config.full_name(name) for name in own if name not in missing
    ]
    assert told == tuple(map(config.full_name, missing))
    assert ensure_topics(config, own) == tuple(missing)
    assert kafka.topics == {"a", "b", *map(config.full_name, own)}
    assert ensure_topics(config, own) == ()
    checks, told = check_topics(config, [*own, "d"], create=True)
    assert [each.topic for each in checks if each.created] == [config.full_name("d")]
    assert not told


def test_facts_of_topics_name_them_as_the_pipeline_does(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    kafka.topics = {"b", config.full_name("a")}
    assert partitions_of(config, "a") == (0, 1)
    assert bool(partitions_of(config, "b")) == (not config.topic_prefix)
    facts = kafka_topic_facts(config, ["a", "b", "none"])
    assert {each.topic for each in facts} == ({"a"} if config.topic_prefix else {"a", "b"})


def test_offsets_are_asked_of_the_topic_with_the_prefix(
    kafka: FakeKafka, config: KafkaClientConfig
) -> None:
    offsets = Offsets(config)
    assert offsets.first("t", [0]) == {0: 0}
    assert offsets.end("t", [0]) == {0: 6}
    assert kafka.names == {config.full_name("t")}


def test_the_topics_of_a_pipeline_are_those_with_its_prefix() -> None:
    topics = {"t", "team-a.t", "team-a.u", "team-b.v", "__consumer_offsets"}
    kafka = FakeKafka({0: 6}, topics=topics)
    assert kafka_topic_names(kafka.config("team-a.")) == ("t", "u")
    assert kafka_topic_names(kafka.config()) == ("t", "team-a.t", "team-a.u", "team-b.v")
