"""Counts the posts of each 10 s by plain Flink SQL: a post that is delivered twice counts twice.

python flink_plain_count.py SERVERS INPUT GROUP COUNTS JAR PARALLELISM

It ends after the records that are in the topic when it begins.
"""

import sys

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

CHECKPOINT = "10 s"
SOURCE = """CREATE TEMPORARY TABLE posts (
  created_at TIMESTAMP_LTZ(3),
  WATERMARK FOR created_at AS created_at - INTERVAL '30' SECOND
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '{servers}', 'topic' = '{topic}',
  'properties.group.id' = '{group}', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', 'format' = 'json',
  'json.timestamp-format.standard' = 'ISO-8601'
)"""
SINK = """CREATE TEMPORARY TABLE counts (window_start TIMESTAMP(3), posts BIGINT) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '{servers}', 'topic' = '{topic}',
  'format' = 'json', 'sink.delivery-guarantee' = 'at-least-once'
)"""
COUNT = """INSERT INTO counts SELECT window_start, COUNT(*) FROM
TUMBLE(TABLE posts, DESCRIPTOR(created_at), INTERVAL '10' SECOND)
GROUP BY window_start, window_end"""


def main(servers: str, topic: str, group: str, counts: str, jar: str, parallelism: str) -> None:
    configuration = Configuration()
    configuration.set_string("pipeline.jars", jar)
    configuration.set_string("parallelism.default", parallelism)
    configuration.set_string("execution.checkpointing.interval", CHECKPOINT)
    settings = EnvironmentSettings.new_instance().with_configuration(configuration)
    env = TableEnvironment.create(settings.in_streaming_mode().build())
    env.execute_sql(SOURCE.format(servers=servers, topic=topic, group=group))
    env.execute_sql(SINK.format(servers=servers, topic=counts))
    env.execute_sql(COUNT).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
