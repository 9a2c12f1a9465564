"""A job of your own on Apache Flink, made of the library's operators.

Run it with ``python own_flink_job.py``: it reads the posts that ``producer.py`` collects, and
writes two topics. post-scores: the engagement of posts in some languages, by weights of your own.
post-tags: how often each hashtag was used so far. What is no post, it prints.
"""

import argparse
import sys

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.common.serialization import ByteArraySchema, SimpleStringSchema
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)

from mastostream import EngagementWeights, HashtagCount, MastostreamError
from mastostream.config import KafkaSettings, Settings
from mastostream.engines.flink.operators import (
    REJECTED,
    Encoder,
    EngagementMapper,
    HashtagExtractor,
    LanguageFilter,
    PostParser,
)
from mastostream.log.kafka import ensure_topics
from mastostream.services import download
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.wiring import kafka_client_config

SOURCE = "Mastodon_stream"
SCORES = "post-scores"
TAGS = "post-tags"


def make_topics(servers: str) -> None:
    """Make the topics that are missing: a job waits for ever, silently, for one that is not there.

    It raises an error if Kafka cannot be reached, for which a job would wait as well.
    """
    settings = Settings(log="kafka", kafka=KafkaSettings(servers=servers))
    made = ensure_topics(kafka_client_config(settings), [SOURCE, SCORES, TAGS])
    if SOURCE in made:
        print(f"{SOURCE} was not there: made it; it is empty until producer.py runs")


def source(servers: str, once: bool) -> KafkaSource:
    builder = (
        KafkaSource.builder()
        .set_bootstrap_servers(servers)
        .set_topics(SOURCE)
        .set_group_id("own-flink-job")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(ByteArraySchema())
    )
    return (builder.set_bounded(KafkaOffsetsInitializer.latest()) if once else builder).build()


def sink(servers: str, topic: str) -> KafkaSink:
    return (
        KafkaSink.builder()
        .set_bootstrap_servers(servers)
        .set_record_serializer(
            KafkaRecordSerializationSchema.builder()
            .set_topic(topic)
            .set_value_serialization_schema(SimpleStringSchema())
            .build()
        )
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .build()
    )


def both(left: HashtagCount, right: HashtagCount) -> HashtagCount:
    return HashtagCount(tag=left.tag, count=left.count + right.count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="localhost:9092", help="host:port of Kafka")
    parser.add_argument("--languages", default="en,de", help="of the posts that get scores")
    parser.add_argument("--once", action="store_true", help="end with what is there now")
    options = parser.parse_args()

    make_topics(options.servers)
    settings = Configuration()
    settings.set_string("python.executable", sys.executable)
    settings.set_string("execution.checkpointing.interval", "10 s")
    env = StreamExecutionEnvironment.get_execution_environment(settings)
    env.add_jars(download(FLINK_KAFKA_JAR, "jar", lambda *_: None).as_uri())

    records = source(options.servers, options.once)
    values = env.from_source(records, WatermarkStrategy.no_watermarks(), SOURCE)
    posts = values.process(PostParser(side_outputs=(REJECTED,)))
    posts.get_side_output(REJECTED).map(lambda item: "; ".join(item.reasons)).print()

    scores = posts.filter(LanguageFilter(options.languages.split(","))).map(
        EngagementMapper(EngagementWeights(replies=5))
    )
    tags = (
        posts.filter(lambda post: post.event == "new")
        .flat_map(HashtagExtractor())
        .key_by(lambda count: count.tag, key_type=Types.STRING())
        .reduce(both)
    )
    for results, topic in ((scores, SCORES), (tags, TAGS)):
        written = results.map(Encoder(), output_type=Types.STRING())
        written.sink_to(sink(options.servers, topic))
    env.execute("own-flink-job")


if __name__ == "__main__":
    try:
        main()
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
