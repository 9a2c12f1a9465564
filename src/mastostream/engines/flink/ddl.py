"""Writes the SQL statements that declare the tables of the built-in job.

This module does not import Flink.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import attrs

__all__ = [
    "Delivery",
    "OnError",
    "Topics",
    "delivery_options",
    "literal",
    "sink",
    "source",
    "timed_source",
]

Delivery = Literal["at-least-once", "exactly-once"]
"""The delivery guarantee of a sink."""

OnError = Literal["dead-letter", "fail"]
"""What a post does for which a function fails: it becomes a dead letter, or fails the job."""


@attrs.frozen(kw_only=True)
class Topics:
    """How a job reads and writes Kafka's topics.

    Attributes:
        servers: ``host:port`` of the brokers, several separated by commas.
        group: the name of the consumer group in Kafka. The job continues from the group's
            committed offsets where it has no checkpoint.
        prefix: the beginning of the topics' names in Kafka. Functions get the names without it.
        delivery: the delivery guarantee of the sinks.
        bounded: whether the job ends at the last offset that the topic has when the job starts.
        compression: the compression of what is sent, by Kafka's name for it.
        settings: the user's settings of Kafka's Java client; they may hold secrets.
    """

    servers: str
    group: str
    prefix: str = ""
    delivery: Delivery = "at-least-once"
    bounded: bool = False
    compression: str = "lz4"
    settings: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    def full_name(self, topic: str) -> str:
        """Return the name of a topic in Kafka."""
        return self.prefix + topic

    def full_names(self, column: str) -> str:
        """Return an SQL expression: the names in Kafka of the topics in a column."""
        return f"{literal(self.prefix)} || {column}" if self.prefix else column


def literal(text: str) -> str:
    """Return a text as a literal of SQL, with its quotes."""
    return "'" + text.replace("'", "''") + "'"


_SOURCE_COLUMNS: Final = (
    "k STRING",
    "v BYTES",
    "p INT METADATA FROM 'partition' VIRTUAL",
    "o BIGINT METADATA FROM 'offset' VIRTUAL",
)


def source(name: str, topic: str, topics: Topics) -> str:
    """Declare a source table: key, undecoded value, partition and offset of each record.

    It begins at the committed offsets of the group.
    """
    options = {"scan.startup.mode": "group-offsets", **_reading(topic, topics)}
    return _table(name, _SOURCE_COLUMNS, topics, options)


def timed_source(name: str, topic: str, topics: Topics) -> str:
    """Declare a source table that begins at the oldest record.

    Beside the columns of :func:`source` it has the record's timestamp in Kafka.
    """
    columns = (*_SOURCE_COLUMNS, "m TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL")
    options = {"scan.startup.mode": "earliest-offset", **_reading(topic, topics)}
    return _table(name, columns, topics, options)


def _reading(topic: str, topics: Topics) -> dict[str, str]:
    options = {
        "topic": topics.full_name(topic),
        "properties.group.id": topics.group,
        "properties.auto.offset.reset": "earliest",
        "properties.isolation.level": "read_committed",
    }
    if topics.bounded:
        options["scan.bounded.mode"] = "latest-offset"
    return options


def delivery_options(name: str, topics: Topics) -> dict[str, str]:
    """Return the options of a sink of this name that set its delivery guarantee."""
    if topics.delivery == "at-least-once":
        return {"sink.delivery-guarantee": "at-least-once"}
    return {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": f"{topics.group}-{name}",
        # 10 min: longer than a checkpoint and a restart take. The broker allows 15 min.
        "properties.transaction.timeout.ms": "600000",
    }


def sink(name: str, names: Sequence[str], topics: Topics, *, anything: bool = False) -> str:
    """Declare a sink table.

    Args:
        name: the name of the table.
        names: the topics that it writes, without the prefix.
        topics: how they are written.
        anything: whether each row has headers and the full name of its topic, in two more columns.
    """
    options = {
        "topic": ";".join(map(topics.full_name, names)),
        "properties.linger.ms": "5",
        "properties.batch.size": str(2**17),
        "properties.compression.type": topics.compression,
        "properties.max.request.size": str(8 * 2**20),
    }
    options |= delivery_options(name, topics)
    columns = ["k STRING", "v BYTES"]
    if anything:
        columns += [
            "t STRING METADATA FROM 'topic'",
            "h MAP<STRING, BYTES> METADATA FROM 'headers'",
        ]
    return _table(name, columns, topics, options)


def _table(name: str, columns: Sequence[str], topics: Topics, options: Mapping[str, str]) -> str:
    chosen = {
        "connector": "kafka",
        "properties.bootstrap.servers": topics.servers,
        "key.format": "raw",
        "key.fields": "k",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        **options,
        **{f"properties.{setting}": value for setting, value in topics.settings.items()},
    }
    written = ",\n  ".join(
        f"{literal(option)} = {literal(value)}" for option, value in chosen.items()
    )
    return f"CREATE TEMPORARY TABLE `{name}` (\n  {', '.join(columns)}\n) WITH (\n  {written}\n)"
