"""Opens the log, in SQLite or Kafka: its readers, writers, topics and offsets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mastostream.config import Settings, load_secrets
from mastostream.core.topic_names import (
    COUNTS,
    DASHBOARD,
    DEAD_LETTERS,
    ENGAGEMENT,
    FILTERED,
    HASHTAGS,
    LATE,
    REPLAYED,
    STREAM,
    TRENDS,
)
from mastostream.exceptions import MissingExtraError
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter, topic_facts
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogReader, LogWriter, TopicFacts
from mastostream.wiring.paths import data_paths, name_prefix, system_clock

if TYPE_CHECKING:
    from mastostream.log.kafka import KafkaClientConfig

__all__ = [
    "TOPICS",
    "data_place",
    "dead_letter_reader",
    "kafka_client_config",
    "log_ends",
    "log_name",
    "log_reader",
    "log_writer",
    "topic_name",
    "topic_names",
    "topics",
]

TOPICS: Final = (
    STREAM,
    ENGAGEMENT,
    HASHTAGS,
    FILTERED,
    COUNTS,
    DASHBOARD,
    TRENDS,
    DEAD_LETTERS,
    REPLAYED,
    LATE,
)
"""The topics of the built-in stages; users' own analyses may have more."""

_SECRETS: Final = {"KAFKA_USERNAME": "sasl.username", "KAFKA_PASSWORD": "sasl.password"}
"""The setting of librdkafka for each secret, by the secret's name in the environment."""

_DAY_MS: Final = 86_400_000


def kafka_client_config(settings: Settings) -> "KafkaClientConfig":
    """Return the configuration of all Kafka clients.

    Raises:
        MissingExtraError: the extra ``kafka`` is not installed.
        ConfigurationError: the settings of Kafka contain one that users may not set.
    """
    try:
        import confluent_kafka  # noqa: F401, PLC0415 - needs an extra; 50 ms to import
    except ImportError as error:
        raise MissingExtraError("Kafka", "kafka") from error
    from mastostream.log.kafka import KafkaClientConfig  # noqa: PLC0415 - needs an extra

    kafka, kept = settings.kafka, settings.retention
    secrets = load_secrets(list(_SECRETS))
    return KafkaClientConfig(
        servers=kafka.servers,
        group=kafka.group,
        topic_prefix=kafka.topic_prefix,
        partitions=kafka.partitions,
        replication=kafka.replication,
        retention_ms=int(kept.age_days * _DAY_MS) or -1,
        retention_bytes=kept.size_bytes or -1,
        compression=kafka.compression,
        settings={_SECRETS[name]: value for name, value in secrets.items()} | dict(kafka.settings),
    )


def log_name(settings: Settings) -> str:
    """Return the address of the log, to show it to a person."""
    if settings.log == "kafka":
        prefix = settings.kafka.topic_prefix
        return f"Kafka at {settings.kafka.servers}" + (f" (topics {prefix}*)" if prefix else "")
    return str(data_paths(settings).log)


def topic_name(settings: Settings, topic: str) -> str:
    """Return a topic's name in the log, with its prefix, for people and the archive's files."""
    return name_prefix(settings) + topic


def data_place(settings: Settings) -> str:
    """Return where the data is, to show it to a person: the log, and the folder for the rest."""
    if settings.log == "kafka":
        return f"{log_name(settings)} and {settings.data}"
    return settings.data


def log_writer(settings: Settings, clock: Clock | None = None) -> LogWriter:
    """Return a writer to the log; ``clock``, by default the system's, dates the records."""
    now_ms = (clock or system_clock()).now_ms
    if settings.log == "kafka":
        config = kafka_client_config(settings)
        from mastostream.log.kafka import KafkaLogWriter  # noqa: PLC0415 - needs an extra

        return KafkaLogWriter(config, now_ms=now_ms)
    return SqliteLogWriter(data_paths(settings).log, partitions=settings.partitions, now_ms=now_ms)


def log_reader(
    settings: Settings, topic: str, group: str, *, shared: bool = True, resume: bool = True
) -> LogReader:
    """Return a reader of the log.

    Args:
        settings: the settings of the pipeline, which say where the log is.
        topic: the topic to read.
        group: the consumer group; each group has its own committed offsets.
        shared: whether the readers of the group share the partitions, which only Kafka can do.
        resume: whether to begin at the group's commits, or else at the oldest record. A reader on
            Kafka that is not shared always begins at the commits.
    """
    if settings.log == "kafka":
        config = kafka_client_config(settings)
        from mastostream.log.kafka import (  # noqa: PLC0415 - needs an extra
            KafkaLogReader,
            KafkaSharedReader,
        )

        name = f"{config.group}-{group}-{topic}"
        if shared:
            return KafkaSharedReader(config, topic=topic, group=name, resume=resume)
        return KafkaLogReader(config, topic=topic, group=name)
    return SqliteLogReader(data_paths(settings).log, topic=topic, group=group, resume=resume)


def dead_letter_reader(settings: Settings, group: str) -> LogReader:
    """Return a reader of all dead letters."""
    return log_reader(settings, DEAD_LETTERS, group, shared=False)


def topics(settings: Settings, names: Sequence[str] = TOPICS) -> tuple[TopicFacts, ...]:
    """Return the partitions of the named topics, with their offsets; missing topics are left out.

    With the log in SQLite, ``names`` is ignored: the partitions of all topics are returned.

    Raises:
        RetriableError: the log cannot be read now.
    """
    if settings.log == "kafka":
        config = kafka_client_config(settings)
        from mastostream.log.kafka import kafka_topic_facts  # noqa: PLC0415 - needs an extra

        return kafka_topic_facts(config, names)
    return topic_facts(data_paths(settings).log)


def topic_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all topics of this pipeline's log, without the prefix.

    Raises:
        RetriableError: the log cannot be read now.
    """
    if settings.log == "kafka":
        config = kafka_client_config(settings)
        from mastostream.log.kafka import kafka_topic_names  # noqa: PLC0415 - needs an extra

        return kafka_topic_names(config)
    return tuple(dict.fromkeys(facts.topic for facts in topic_facts(data_paths(settings).log)))


def log_ends(settings: Settings, topic: str) -> Mapping[int, int]:
    """Return the end of each partition of a topic: the offset of its next record.

    Raises:
        RetriableError: the log cannot be read now.
    """
    return {
        facts.partition: facts.next_offset
        for facts in topics(settings, (topic,))
        if facts.topic == topic
    }
