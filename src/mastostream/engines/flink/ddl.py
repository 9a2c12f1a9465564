"""The tables of the built-in job, as Flink's SQL declares them. Flink is not needed."""

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
OnError = Literal["dead-letter", "fail"]


@attrs.frozen(kw_only=True)
class Topics:
    """Where topics stand, and how they are read and written.

    Attributes:
        servers: ``host:port``, several separated by commas.
        group: whose commits the job goes on from where it has no checkpoint, as Kafka calls it.
        prefix: what topics begin with in Kafka, and only there: functions know them without it.
        delivery: what a reader of the outputs may rely on.
        bounded: whether the job ends with what is there when it begins.
        compression: of what is sent.
        settings: of Kafka's Java client, the user's; may hold secrets.
    """

    servers: str
    group: str
    prefix: str = ""
    delivery: Delivery = "at-least-once"
    bounded: bool = False
    compression: str = "lz4"
    settings: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    def full_name(self, topic: str) -> str:
        """Return what a topic is called in Kafka."""
        return self.prefix + topic

    def full_names(self, column: str) -> str:
        """Return the SQL of what the topics in a column are called in Kafka."""
        return f"{literal(self.prefix)} || {column}" if self.prefix else column


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


_PLACED: Final = (
    "k STRING",
    "v BYTES",
    "p INT METADATA FROM 'partition' VIRTUAL",
    "o BIGINT METADATA FROM 'offset' VIRTUAL",
)


def source(name: str, topic: str, topics: Topics) -> str:
    """Declare the input: its bytes as they are, and where each record stands."""
    options = {"scan.startup.mode": "group-offsets", **_reading(topic, topics)}
    return _table(name, _PLACED, topics, options)


def timed_source(name: str, topic: str, topics: Topics, idle_timeout_ms: int) -> str:
    """Declare the input from its oldest record on, with the time at which the log took each.

    Its watermark says what time all partitions have come to, but those that have been silent for
    the idle time-out.
    """
    columns = (
        *_PLACED,
        "m TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
        "WATERMARK FOR m AS m - INTERVAL '0.001' SECOND",
    )
    options = {
        "scan.startup.mode": "earliest-offset",
        "scan.watermark.idle-timeout": f"{idle_timeout_ms} ms",
        **_reading(topic, topics),
    }
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
    """Return what a sink of this name has to be told of the delivery."""
    if topics.delivery == "at-least-once":
        return {"sink.delivery-guarantee": "at-least-once"}
    return {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": f"{topics.group}-{name}",
        # The broker allows 15 min. Longer than a checkpoint, and a restart, take.
        "properties.transaction.timeout.ms": "600000",
    }


def sink(name: str, names: Sequence[str], topics: Topics, *, anything: bool = False) -> str:
    """Declare an output.

    Args:
        name: of the table.
        names: its topics, without the prefix.
        topics: how they are written.
        anything: whether each row brings headers and names its topic, as Kafka calls it.
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
        **{f"properties.{each}": value for each, value in topics.settings.items()},
    }
    told = ",\n  ".join(f"{literal(each)} = {literal(value)}" for each, value in chosen.items())
    return f"CREATE TEMPORARY TABLE `{name}` (\n  {', '.join(columns)}\n) WITH (\n  {told}\n)"
