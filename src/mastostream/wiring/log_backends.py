"""The log, and what reads and writes it."""

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
    STREAM,
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
    "topics",
]

TOPICS: Final = (
    STREAM,
    ENGAGEMENT,
    HASHTAGS,
    FILTERED,
    COUNTS,
    DASHBOARD,
    DEAD_LETTERS,
    LATE,
)
"""The topics that come with the package."""

_SECRETS: Final = {"KAFKA_USERNAME": "sasl.username", "KAFKA_PASSWORD": "sasl.password"}
_DAY_MS: Final = 86_400_000


def kafka_client_config(settings: Settings) -> "KafkaClientConfig":
    """Return which Kafka, and how it is used.

    Raises:
        MissingExtraError: the extra ``kafka`` is not installed.
        ConfigurationError: a setting that cannot be chosen.
    """
    try:
        import confluent_kafka  # noqa: F401, PLC0415 - an extra; 50 ms
    except ImportError as error:
        raise MissingExtraError("Kafka", "kafka") from error
    from mastostream.log.kafka import KafkaClientConfig  # noqa: PLC0415 - as above

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
    """Return where the log is, for a person."""
    if settings.log == "kafka":
        prefix = settings.kafka.topic_prefix
        return f"Kafka at {settings.kafka.servers}" + (f" (topics {prefix}*)" if prefix else "")
    return str(data_paths(settings).log)


def topic_name(settings: Settings, topic: str) -> str:
    """Return what a topic is called where the log is, for a person and for the archive's files."""
    return name_prefix(settings) + topic


def data_place(settings: Settings) -> str:
    """Return where the data is, for a person: the log, and the folder of all else."""
    if settings.log == "kafka":
        return f"{log_name(settings)} and {settings.data}"
    return settings.data


def log_writer(settings: Settings, clock: Clock | None = None) -> LogWriter:
    """Return a writer to the log."""
    now_ms = (clock or system_clock()).now_ms
    if settings.log == "kafka":
        place = kafka_client_config(settings)
        from mastostream.log.kafka import KafkaLogWriter  # noqa: PLC0415 - an extra

        return KafkaLogWriter(place, now_ms=now_ms)
    return SqliteLogWriter(data_paths(settings).log, partitions=settings.partitions, now_ms=now_ms)


def log_reader(
    settings: Settings, topic: str, group: str, *, shared: bool = True, resume: bool = True
) -> LogReader:
    """Return a reader of the log.

    Args:
        settings: where.
        topic: what is read.
        group: whose commits it goes on from.
        shared: whether the readers of the group share the partitions, where the log can do that.
        resume: of one that shares: whether it begins at the group's commits; else at the oldest
            record.
    """
    if settings.log == "kafka":
        place = kafka_client_config(settings)
        from mastostream.log.kafka import (  # noqa: PLC0415 - an extra
            KafkaLogReader,
            KafkaSharedReader,
        )

        name = f"{place.group}-{group}-{topic}"
        if shared:
            return KafkaSharedReader(place, topic=topic, group=name, resume=resume)
        return KafkaLogReader(place, topic=topic, group=name)
    return SqliteLogReader(data_paths(settings).log, topic=topic, group=group, resume=resume)


def dead_letter_reader(settings: Settings, group: str) -> LogReader:
    """Return a reader of the dead letters."""
    return log_reader(settings, DEAD_LETTERS, group, shared=False)


def topics(settings: Settings, names: Sequence[str] = TOPICS) -> tuple[TopicFacts, ...]:
    """Return the partitions of these topics, where they exist; of the data folder, of all topics.

    Raises:
        RetriableError: not now.
    """
    if settings.log == "kafka":
        place = kafka_client_config(settings)
        from mastostream.log.kafka import kafka_topic_facts  # noqa: PLC0415 - an extra

        return kafka_topic_facts(place, names)
    return topic_facts(data_paths(settings).log)


def log_ends(settings: Settings, topic: str) -> Mapping[int, int]:
    """Return where each partition of a topic ends: the offset of its next record.

    Raises:
        RetriableError: not now.
    """
    return {
        facts.partition: facts.next_offset
        for facts in topics(settings, (topic,))
        if facts.topic == topic
    }
