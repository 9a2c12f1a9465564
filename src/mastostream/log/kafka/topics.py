"""Creates missing topics, and compares existing ones with the configuration."""

import time
from collections.abc import Collection, Mapping, Sequence

import attrs
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, not declared
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from mastostream.exceptions import RetriableError
from mastostream.log.kafka.client_config import MAX_MESSAGE_BYTES, KafkaClientConfig
from mastostream.log.kafka.errors import translate_error, translated
from mastostream.log.kafka.metadata import available_topics, topic_map
from mastostream.log.kafka.offsets import Offsets
from mastostream.ports.log import TopicFacts

__all__ = [
    "TopicCheck",
    "check_topics",
    "ensure_topics",
    "kafka_topic_facts",
    "kafka_topic_names",
    "partitions_of",
]


@attrs.frozen(kw_only=True)
class TopicCheck:
    """A topic as it is in Kafka, compared with the configuration.

    Attributes:
        topic: the name in Kafka.
        created: whether the check has created the topic.
        partitions: the number of partitions.
        replication: the number of replicas of the partition that has the fewest.
        retention_ms: how long records are kept, in milliseconds; -1 keeps all.
        retention_bytes: how much of each partition is kept, in bytes; -1 keeps all.
        differences: one text for each setting that differs, with both values.
    """

    topic: str
    created: bool
    partitions: int
    replication: int
    retention_ms: int
    retention_bytes: int
    differences: tuple[str, ...]


def partitions_of(config: KafkaClientConfig, topic: str) -> tuple[int, ...]:
    """Return the numbers of the topic's partitions; empty if the topic does not exist.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    _, existing = topic_map(config)
    return tuple(existing.get(config.full_name(topic), {}))


def ensure_topics(
    config: KafkaClientConfig, topics: Collection[str], *, compacted: bool = False
) -> tuple[str, ...]:
    """Create the topics that are missing; return the names of those that this call has created.

    Returns once a broker offers the new topics. It does not matter if another process creates them
    at the same time.

    Args:
        config: the Kafka to use, and the properties of new topics.
        topics: the names, without the prefix.
        compacted: whether new topics have one partition and keep only the newest record of each
            key.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    admin, existing = topic_map(config)
    missing = [topic for topic in dict.fromkeys(topics) if config.full_name(topic) not in existing]
    if not missing:
        return ()
    new_topics = [
        NewTopic(
            config.full_name(topic),
            num_partitions=1 if compacted else config.partitions,
            replication_factor=config.replication,
            config=_config(config, compacted=compacted),
        )
        for topic in missing
    ]
    made = []
    futures = admin.create_topics(new_topics, operation_timeout=config.timeout_s)
    for topic in missing:
        try:
            futures[config.full_name(topic)].result(config.timeout_s)
            made.append(topic)
        except KafkaException as error:  # Another process may have created it meanwhile.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise translate_error(error.args[0], config) from error
    _wait_until_available(admin, config, [config.full_name(topic) for topic in missing])
    return tuple(made)


def _wait_until_available(
    admin: AdminClient, config: KafkaClientConfig, topics: Collection[str]
) -> None:
    """Wait until a broker knows the topics that the controller has created.

    A client that subscribes earlier gets the error that there is no such topic.

    Args:
        admin: a connected client.
        config: the Kafka to use.
        topics: the names in Kafka.

    Raises:
        RetriableError: no broker offers the topics before the time-out.
    """
    deadline_s = time.monotonic() + config.timeout_s
    while missing := set(topics) - available_topics(admin, config):
        if time.monotonic() > deadline_s:
            raise RetriableError(
                f"Kafka at {config.servers} has made {', '.join(sorted(missing))}, and does not "
                "offer it yet"
            )
        time.sleep(0.02)


def check_topics(
    config: KafkaClientConfig, topics: Sequence[str], *, create: bool
) -> tuple[tuple[TopicCheck, ...], tuple[str, ...]]:
    """Compare topics with the configuration.

    Args:
        config: the Kafka to use, and the properties that topics should have.
        topics: the names, without the prefix.
        create: whether to create topics that are missing.

    Returns:
        A check of each topic that exists, and the names of the topics that are missing. Both use
        the names in Kafka, because they are shown to people.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    created = ensure_topics(config, topics) if create else ()
    admin, existing = topic_map(config)
    names = [config.full_name(topic) for topic in topics]
    present = [name for name in names if name in existing]
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in present}
    configs: dict[str, Mapping[str, str]] = {}
    with translated(config):
        futures = admin.describe_configs(list(resources.values())) if resources else {}
        for name, resource in resources.items():
            entries = futures[resource].result(config.timeout_s)
            configs[name] = {setting: entry.value or "" for setting, entry in entries.items()}
    created_names = {config.full_name(topic) for topic in created}
    checks = tuple(
        _check(config, name, existing[name], configs[name], created=name in created_names)
        for name in present
    )
    return checks, tuple(name for name in names if name not in existing)


def kafka_topic_facts(config: KafkaClientConfig, topics: Sequence[str]) -> tuple[TopicFacts, ...]:
    """Return the partitions of these topics with their offsets; leave out topics that do not exist.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    _, existing = topic_map(config)
    offsets = Offsets(config)
    facts = []
    for topic in topics:
        partitions = sorted(existing.get(config.full_name(topic), {}))
        first, end = offsets.first(topic, partitions), offsets.end(topic, partitions)
        facts += [
            TopicFacts(
                topic=topic,
                partition=partition,
                first_offset=first[partition],
                next_offset=end[partition],
            )
            for partition in partitions
        ]
    return tuple(facts)


def kafka_topic_names(config: KafkaClientConfig) -> tuple[str, ...]:
    """Return the topics that have this pipeline's prefix, without it, by name.

    Topics of Kafka itself, whose names begin with two underscores, are left out.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    _, existing = topic_map(config)
    prefix = config.topic_prefix
    names = (name for name in existing if name.startswith(prefix) and not name.startswith("__"))
    return tuple(sorted(name.removeprefix(prefix) for name in names))


def _config(config: KafkaClientConfig, *, compacted: bool) -> dict[str, str]:
    topic_config = {
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        # With three or more replicas, a record is confirmed only once two of them have it.
        # So it survives the loss of one broker.
        "min.insync.replicas": "2" if config.replication > 2 else "1",
    }
    if compacted:
        # A process that takes over reads the whole topic. So old versions of a key are removed
        # early, with small segments (Kafka's default is 1 GiB), and a compaction once a tenth of
        # the log is not compacted.
        return topic_config | {
            "cleanup.policy": "compact",
            "segment.bytes": str(32 * 2**20),
            "min.cleanable.dirty.ratio": "0.1",
        }
    return topic_config | {
        "cleanup.policy": "delete",
        "retention.ms": str(config.retention_ms),
        "retention.bytes": str(config.retention_bytes),
    }


def _check(
    config: KafkaClientConfig,
    topic: str,
    partitions: Mapping[int, int],
    topic_config: Mapping[str, str],
    *,
    created: bool,
) -> TopicCheck:
    retention_ms = int(topic_config.get("retention.ms") or -1)
    retention_bytes = int(topic_config.get("retention.bytes") or -1)
    replication = min(partitions.values(), default=0)
    compared = (
        ("partitions", len(partitions), config.partitions),
        ("replication", replication, config.replication),
        ("retention.ms", retention_ms, config.retention_ms),
        ("retention.bytes", retention_bytes, config.retention_bytes),
    )
    differences = [
        f"{name} {actual}, settings say {want}" for name, actual, want in compared if actual != want
    ]
    if "compact" in topic_config.get("cleanup.policy", ""):
        differences.append("compacted: older versions of a post disappear")
    return TopicCheck(
        topic=topic,
        created=created,
        partitions=len(partitions),
        replication=replication,
        retention_ms=retention_ms,
        retention_bytes=retention_bytes,
        differences=tuple(differences),
    )
