"""The task by PyFlink as it is usually written: statuses are dicts, and each step is a function.

python flink_by_hand.py SERVERS INPUT GROUP ENGAGEMENT HASHTAGS JAR PARALLELISM

It ends after the records that are in the topic when it begins.
"""

import json
import sys

from pyflink.common import Types, WatermarkStrategy
from pyflink.common.serialization import SimpleStringSchema
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)

CHECKPOINT_MS = 10_000


def engagement_of(status: dict) -> dict:
    account = status["account"]
    score = (
        status["favourites_count"]
        + 2 * status["reblogs_count"]
        + 3 * status["replies_count"]
        + 2 * status["quotes_count"]
    )
    return {
        "key": status["id"],
        "observed_at": status["created_at"],
        "id": status["id"],
        "uri": status["uri"],
        "url": status["url"],
        "instance": "",
        "account": account["acct"],
        "display_name": account["display_name"],
        "bot": account["bot"],
        "language": status["language"],
        "created_at": status["created_at"],
        "edited_at": status["edited_at"],
        "content": status["content"],
        "favourites_count": status["favourites_count"],
        "reblogs_count": status["reblogs_count"],
        "replies_count": status["replies_count"],
        "quotes_count": status["quotes_count"],
        "engagement_score": score,
    }


def hashtags_of(status: dict) -> dict:
    tags = [tag["name"].lower() for tag in status["tags"]]
    return {
        "key": status["id"],
        "observed_at": status["created_at"],
        "id": status["id"],
        "instance": "",
        "account": status["account"]["acct"],
        "language": status["language"],
        "created_at": status["created_at"],
        "hashtags": tags,
        "hashtag_counts": [1 for _ in tags],
    }


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


def main(
    servers: str,
    topic: str,
    group: str,
    engagement: str,
    hashtags: str,
    jar: str,
    parallelism: str,
) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.add_jars(jar)
    env.set_python_executable(sys.executable)
    env.set_parallelism(int(parallelism))
    env.enable_checkpointing(CHECKPOINT_MS)
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(servers)
        .set_topics(topic)
        .set_group_id(group)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "posts")
    statuses = lines.map(json.loads)
    for function, output in ((engagement_of, engagement), (hashtags_of, hashtags)):
        records = statuses.map(function).map(json.dumps, output_type=Types.STRING())
        records.sink_to(sink(servers, output))
    env.execute("by hand")


if __name__ == "__main__":
    main(*sys.argv[1:])
