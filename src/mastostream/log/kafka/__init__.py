"""A log in Kafka. Records of one key share a partition; what is confirmed is on all copies."""

from mastostream.log.kafka.engine import KafkaEngineLog
from mastostream.log.kafka.place import KafkaPlace
from mastostream.log.kafka.reader import KafkaLogReader, KafkaSharedReader
from mastostream.log.kafka.topics import (
    TopicCheck,
    check_topics,
    ensure_topics,
    kafka_topic_facts,
)
from mastostream.log.kafka.windows import KafkaWindowLog
from mastostream.log.kafka.writer import KafkaLogWriter

__all__ = [
    "KafkaEngineLog",
    "KafkaLogReader",
    "KafkaLogWriter",
    "KafkaPlace",
    "KafkaSharedReader",
    "KafkaWindowLog",
    "TopicCheck",
    "check_topics",
    "ensure_topics",
    "kafka_topic_facts",
]
