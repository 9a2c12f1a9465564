"""The task by Flink SQL alone: no record passes through Python.

python flink_sql.py SERVERS INPUT GROUP ENGAGEMENT HASHTAGS JAR PARALLELISM

It ends after the records that are in the topic when it begins. It does less work than the other
contenders: hashtags stay as the server spells them, nothing is checked, and a record that is not a
status fails the job.
"""

import sys

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

CHECKPOINT = "10 s"
SOURCE = """CREATE TEMPORARY TABLE posts (
  id STRING, uri STRING, url STRING, created_at STRING, edited_at STRING, `language` STRING,
  content STRING, account ROW<acct STRING, display_name STRING, bot BOOLEAN>,
  tags ARRAY<ROW<name STRING>>, favourites_count BIGINT, reblogs_count BIGINT,
  replies_count BIGINT, quotes_count BIGINT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '{servers}', 'topic' = '{topic}',
  'properties.group.id' = '{group}', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', 'format' = 'json'
)"""
SINK = """CREATE TEMPORARY TABLE {name} ({columns}) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '{servers}', 'topic' = '{topic}',
  'format' = 'json', 'sink.delivery-guarantee' = 'at-least-once'
)"""
ENGAGEMENT = """`key` STRING, observed_at STRING, id STRING, uri STRING, url STRING,
  instance STRING, account STRING, display_name STRING, bot BOOLEAN, `language` STRING,
  created_at STRING, edited_at STRING, content STRING, favourites_count BIGINT,
  reblogs_count BIGINT, replies_count BIGINT, quotes_count BIGINT, engagement_score BIGINT"""
HASHTAGS = """`key` STRING, observed_at STRING, id STRING, instance STRING, account STRING,
  `language` STRING, created_at STRING, hashtags ARRAY<ROW<name STRING>>"""
SCORE = "favourites_count + 2 * reblogs_count + 3 * replies_count + 2 * quotes_count"
TO_ENGAGEMENT = f"""INSERT INTO engagement SELECT
  id, created_at, id, uri, url, '', account.acct, account.display_name, account.bot, `language`,
  created_at, edited_at, content, favourites_count, reblogs_count, replies_count, quotes_count,
  {SCORE}
FROM posts"""
TO_HASHTAGS = """INSERT INTO hashtags SELECT
  id, created_at, id, '', account.acct, `language`, created_at, tags
FROM posts"""


def main(
    servers: str,
    topic: str,
    group: str,
    engagement: str,
    hashtags: str,
    jar: str,
    parallelism: str,
) -> None:
    configuration = Configuration()
    configuration.set_string("pipeline.jars", jar)
    configuration.set_string("parallelism.default", parallelism)
    configuration.set_string("execution.checkpointing.interval", CHECKPOINT)
    settings = EnvironmentSettings.new_instance().with_configuration(configuration)
    env = TableEnvironment.create(settings.in_streaming_mode().build())
    env.execute_sql(SOURCE.format(servers=servers, topic=topic, group=group))
    for name, columns, output in (
        ("engagement", ENGAGEMENT, engagement),
        ("hashtags", HASHTAGS, hashtags),
    ):
        env.execute_sql(SINK.format(name=name, columns=columns, servers=servers, topic=output))
    statements = env.create_statement_set()
    statements.add_insert_sql(TO_ENGAGEMENT)
    statements.add_insert_sql(TO_HASHTAGS)
    statements.execute().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
