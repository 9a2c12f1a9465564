"""Which servers are started. ``compose.yaml`` has the same versions; a test holds them together."""

from typing import Final

__all__ = [
    "ELASTICSEARCH_VERSION",
    "ELASTICSEARCH_ZIP",
    "FLINK_KAFKA_JAR",
    "FLINK_VERSION",
    "HADOOP_JARS",
    "HADOOP_VERSION",
    "KAFKA_JARS",
    "KAFKA_VERSION",
    "KIBANA_VERSION",
]

KAFKA_VERSION: Final = "4.1.1"
ELASTICSEARCH_VERSION: Final = "8.17.4"
KIBANA_VERSION: Final = ELASTICSEARCH_VERSION
"""Kibana refuses an Elasticsearch of another version. Only ``compose.yaml`` starts it."""

HADOOP_VERSION: Final = "3.4.1"
FLINK_VERSION: Final = "2.2"
"""Of the ``apache-flink`` wheel, which is the whole distribution."""

FLINK_KAFKA_JAR: Final = "org.apache.flink:flink-sql-connector-kafka:4.0.1-2.0"
"""What a Flink job reads and writes Kafka with; the one with all that it needs."""

KAFKA_JARS: Final = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",  # the API that Kafka brings is 1.7
)
HADOOP_JARS: Final = (
    f"org.apache.hadoop:hadoop-common:{HADOOP_VERSION}",
    f"org.apache.hadoop:hadoop-hdfs:{HADOOP_VERSION}",
    f"org.apache.hadoop:hadoop-hdfs-client:{HADOOP_VERSION}",
    "org.slf4j:slf4j-reload4j:1.7.36",  # what its servers log with
)
ELASTICSEARCH_ZIP: Final = (
    f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{ELASTICSEARCH_VERSION}"
)
"""Elastic's own server with few modules, made for tests: no ``GET /``, no ILM, no scripts."""
