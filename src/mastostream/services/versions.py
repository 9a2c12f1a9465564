"""Versions of the servers. ``compose.yaml`` has the same ones; a test compares them."""

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
"""The version of the ``apache-flink`` wheel, which contains the whole distribution."""

FLINK_KAFKA_JAR: Final = "org.apache.flink:flink-sql-connector-kafka:4.0.1-2.0"
"""Flink's Kafka connector, as one jar with all its dependencies."""

KAFKA_JARS: Final = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",  # Kafka comes with version 1.7 of the API
)
HADOOP_JARS: Final = (
    f"org.apache.hadoop:hadoop-common:{HADOOP_VERSION}",
    f"org.apache.hadoop:hadoop-hdfs:{HADOOP_VERSION}",
    f"org.apache.hadoop:hadoop-hdfs-client:{HADOOP_VERSION}",
    "org.slf4j:slf4j-reload4j:1.7.36",  # the logger that Hadoop's servers use
)
ELASTICSEARCH_ZIP: Final = (
    f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{ELASTICSEARCH_VERSION}"
)
"""Elastic's distribution for tests. It has few modules: no ``GET /``, no ILM, no scripts."""
