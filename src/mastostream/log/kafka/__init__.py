"""The log in Kafka.

Records of one key share a partition. A record that Kafka has confirmed is on all replicas that are
in sync.
"""

from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.engine_log import KafkaEngineLog
from mastostream.log.kafka.reader import KafkaLogReader, KafkaSharedReader
from mastostream.log.kafka.topics import (
    TopicCheck,
    check_topics,
    ensure_topics,
    kafka_topic_facts,
    kafka_topic_names,
)
from mastostream.log.kafka.window_state_store import KafkaWindowLog
from mastostream.log.kafka.writer import KafkaLogWriter

__all__ = [
    "KafkaClientConfig",
    "KafkaEngineLog",
    "KafkaLogReader",
    "KafkaLogWriter",
    "KafkaSharedReader",
    "KafkaWindowLog",
    "TopicCheck",
    "check_topics",
    "ensure_topics",
    "kafka_topic_facts",
    "kafka_topic_names",
]
