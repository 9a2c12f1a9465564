"""What topics there are, and making those that are missing."""

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

__all__ = ["TopicCheck", "check_topics", "ensure_topics", "kafka_topic_facts", "partitions_of"]


@attrs.frozen(kw_only=True)
class TopicCheck:
    """One topic, compared with what the settings would make of it.

    Attributes:
        topic: what it is called in Kafka.
        created: whether it was missing and has been made now.
        partitions: how many it has.
        replication: how many copies of each.
        retention_ms: how long records are kept; -1 for ever.
        retention_bytes: how much of each partition is kept; -1 all.
        differences: in words, each with what the settings say.
    """

    topic: str
    created: bool
    partitions: int
    replication: int
    retention_ms: int
    retention_bytes: int
    differences: tuple[str, ...]


def partitions_of(config: KafkaClientConfig, topic: str) -> tuple[int, ...]:
    """Return the topic's partitions; none where there is no such topic.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    _, there = topic_map(config)
    return tuple(there.get(config.full_name(topic), {}))


def ensure_topics(
    config: KafkaClientConfig, topics: Collection[str], *, compacted: bool = False
) -> tuple[str, ...]:
    """Make the topics that are missing; return their names.

    Args:
        config: where, and what they are like.
        topics: their names.
        compacted: only the newest record of each key is kept, in one partition.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    admin, there = topic_map(config)
    missing = [topic for topic in dict.fromkeys(topics) if config.full_name(topic) not in there]
    if not missing:
        return ()
    wanted = [
        NewTopic(
            config.full_name(topic),
            num_partitions=1 if compacted else config.partitions,
            replication_factor=config.replication,
            config=_config(config, compacted=compacted),
        )
        for topic in missing
    ]
    made = []
    futures = admin.create_topics(wanted, operation_timeout=config.timeout_s)
    for topic in missing:
        try:
            futures[config.full_name(topic)].result(config.timeout_s)
            made.append(topic)
        except KafkaException as error:  # another process may have been faster
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise translate_error(error.args[0], config) from error
    _await(admin, config, [config.full_name(topic) for topic in missing])
    return tuple(made)


def _await(admin: AdminClient, config: KafkaClientConfig, topics: Collection[str]) -> None:
    """Wait until a broker knows what the controller has made; topics as Kafka calls them.

    A client that subscribes before is told that there is no such topic.
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
    """Compare topics with the settings; return what was found, and which are missing.

    Both are for people, and say what topics are called in Kafka.

    Args:
        config: where, and what they should be like.
        topics: their names.
        create: make those that are missing.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    created = ensure_topics(config, topics) if create else ()
    admin, there = topic_map(config)
    names = [config.full_name(topic) for topic in topics]
    found = [name for name in names if name in there]
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in found}
    configs: dict[str, Mapping[str, str]] = {}
    with translated(config):
        answers = admin.describe_configs(list(resources.values())) if resources else {}
        for name, resource in resources.items():
            entries = answers[resource].result(config.timeout_s)
            configs[name] = {setting: entry.value or "" for setting, entry in entries.items()}
    made = {config.full_name(topic) for topic in created}
    checks = tuple(
        _check(config, name, there[name], configs[name], created=name in made) for name in found
    )
    return checks, tuple(name for name in names if name not in there)


def kafka_topic_facts(config: KafkaClientConfig, topics: Sequence[str]) -> tuple[TopicFacts, ...]:
    """Return the partitions of these topics; those that do not exist are left out.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    _, there = topic_map(config)
    offsets = Offsets(config)
    facts = []
    for topic in topics:
        partitions = sorted(there.get(config.full_name(topic), {}))
        first, end = offsets.first(topic, partitions), offsets.end(topic, partitions)
        facts += [
            TopicFacts(topic=topic, partition=each, first_offset=first[each], next_offset=end[each])
            for each in partitions
        ]
    return tuple(facts)


def _config(config: KafkaClientConfig, *, compacted: bool) -> dict[str, str]:
    topic_config = {
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        # An acknowledged record survives the loss of one broker wherever there is a second copy.
        "min.insync.replicas": "2" if config.replication > 2 else "1",
    }
    if compacted:
        # Who takes over reads all of it: what is dead goes early, and not by segments of a GiB.
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
        f"{name} {is_}, settings say {want}" for name, is_, want in compared if is_ != want
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
