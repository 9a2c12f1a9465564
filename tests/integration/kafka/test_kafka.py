"""The log on a real Kafka."""

import uuid

import attrs
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from mastostream.core.analyses import Analysis
from mastostream.core.windows import WindowSpec
from mastostream.log.kafka import (
    KafkaClientConfig,
    KafkaEngineLog,
    KafkaLogReader,
    KafkaLogWriter,
    KafkaSharedReader,
    KafkaWindowLog,
)
from mastostream.ports.log import EngineLog, NewRecord
from mastostream.testing.conformance.log import LogConformance, LogUnderTest, new_topic, read_all
from mastostream.testing.servers import KafkaServer


@pytest.fixture
def config(kafka_server: KafkaServer) -> KafkaClientConfig:
    """What is sent waits for half a second, unless somebody waits for its confirmation."""
    return KafkaClientConfig(
        servers=kafka_server.address,
        group=f"test-{uuid.uuid4().hex}",
        partitions=3,
        settings={"linger.ms": "500"},
    )


class TestKafkaLog(LogConformance):
    """Readers that share and readers that do not, engines of both deliveries, and a prefix."""

    @pytest.fixture(params=["alone, at-least-once, ", "shared, exactly-once, team-a."])
    def log(self, config: KafkaClientConfig, request: pytest.FixtureRequest) -> LogUnderTest:
        kind, delivery, prefix = request.param.split(", ")
        config = attrs.evolve(config, topic_prefix=prefix)
        reader = KafkaLogReader if kind == "alone" else KafkaSharedReader

        def engine(topic: str, analysis: Analysis) -> EngineLog:
            if analysis.aggregate is not None:
                minutes = WindowSpec(size_ms=60_000)
                return KafkaWindowLog(config, topic=topic, analysis=analysis.name, spec=minutes)
            return KafkaEngineLog(config, topic=topic, group=analysis.name, delivery=delivery)

        return LogUnderTest(
            writer=lambda: KafkaLogWriter(config),
            reader=lambda topic, group: reader(config, topic=topic, group=f"{topic}-{group}"),
            engine=engine,
        )


@pytest.mark.parametrize("kind", [KafkaLogReader, KafkaSharedReader])
def test_what_retention_took_before_it_was_read_is_counted(
    config: KafkaClientConfig, kind: type[KafkaLogReader] | type[KafkaSharedReader]
) -> None:
    topic = new_topic()
    writer = KafkaLogWriter(config)
    writer.append([NewRecord(topic, "k", b"%d" % number) for number in range(10)])
    reader = kind(config, topic=topic, group=new_topic())
    first = read_all(reader)
    reader.commit({first[1].partition: first[1].offset})
    admin = AdminClient({"bootstrap.servers": config.servers})
    gone = TopicPartition(topic, first[0].partition, first[6].offset)
    for future in admin.delete_records([gone]).values():
        future.result(10)
    # Only now: what the client had fetched before, retention could not take from it any more.
    reader.seek({first[2].partition: first[2].offset})
    assert [record.value for record in read_all(reader)] == [b"6", b"7", b"8", b"9"]
    assert reader.lost == 4
    reader.close()
    writer.close()
