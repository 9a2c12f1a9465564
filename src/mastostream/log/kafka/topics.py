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
from mastostream.log.kafka.asking import offered, topic_map
from mastostream.log.kafka.errors import explained, translated
from mastostream.log.kafka.offsets import Offsets
from mastostream.log.kafka.place import MAX_MESSAGE_BYTES, KafkaPlace
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


def partitions_of(place: KafkaPlace, topic: str) -> tuple[int, ...]:
    """Return the topic's partitions; none where there is no such topic.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    _, there = topic_map(place)
    return tuple(there.get(place.full_name(topic), {}))


def ensure_topics(
    place: KafkaPlace, topics: Collection[str], *, compacted: bool = False
) -> tuple[str, ...]:
    """Make the topics that are missing; return their names.

    Args:
        place: where, and what they are like.
        topics: their names.
        compacted: only the newest record of each key is kept, in one partition.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    admin, there = topic_map(place)
    missing = [topic for topic in dict.fromkeys(topics) if place.full_name(topic) not in there]
    if not missing:
        return ()
    wanted = [
        NewTopic(
            place.full_name(topic),
            num_partitions=1 if compacted else place.partitions,
            replication_factor=place.replication,
            config=_config(place, compacted=compacted),
        )
        for topic in missing
    ]
    made = []
    futures = admin.create_topics(wanted, operation_timeout=place.timeout_s)
    for topic in missing:
        try:
            futures[place.full_name(topic)].result(place.timeout_s)
            made.append(topic)
        except KafkaException as error:  # another process may have been faster
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise explained(error.args[0], place) from error
    _await(admin, place, [place.full_name(topic) for topic in missing])
    return tuple(made)


def _await(admin: AdminClient, place: KafkaPlace, topics: Collection[str]) -> None:
    """Wait until a broker knows what the controller has made; topics as Kafka calls them.

    A client that subscribes before is told that there is no such topic.
    """
    deadline_s = time.monotonic() + place.timeout_s
    while missing := set(topics) - offered(admin, place):
        if time.monotonic() > deadline_s:
            raise RetriableError(
                f"Kafka at {place.servers} has made {', '.join(sorted(missing))}, and does not "
                "offer it yet"
            )
        time.sleep(0.02)


def check_topics(
    place: KafkaPlace, topics: Sequence[str], *, create: bool
) -> tuple[tuple[TopicCheck, ...], tuple[str, ...]]:
    """Compare topics with the settings; return what was found, and which are missing.

    Both are for people, and say what topics are called in Kafka.

    Args:
        place: where, and what they should be like.
        topics: their names.
        create: make those that are missing.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    created = ensure_topics(place, topics) if create else ()
    admin, there = topic_map(place)
    names = [place.full_name(topic) for topic in topics]
    found = [name for name in names if name in there]
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in found}
    configs: dict[str, Mapping[str, str]] = {}
    with translated(place):
        answers = admin.describe_configs(list(resources.values())) if resources else {}
        for name, resource in resources.items():
            entries = answers[resource].result(place.timeout_s)
            configs[name] = {setting: entry.value or "" for setting, entry in entries.items()}
    made = {place.full_name(topic) for topic in created}
    checks = tuple(
        _check(place, name, there[name], configs[name], created=name in made) for name in found
    )
    return checks, tuple(name for name in names if name not in there)


def kafka_topic_facts(place: KafkaPlace, topics: Sequence[str]) -> tuple[TopicFacts, ...]:
    """Return the partitions of these topics; those that do not exist are left out.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    _, there = topic_map(place)
    offsets = Offsets(place)
    facts = []
    for topic in topics:
        partitions = sorted(there.get(place.full_name(topic), {}))
        first, end = offsets.first(topic, partitions), offsets.end(topic, partitions)
        facts += [
            TopicFacts(topic=topic, partition=each, first_offset=first[each], next_offset=end[each])
            for each in partitions
        ]
    return tuple(facts)


def _config(place: KafkaPlace, *, compacted: bool) -> dict[str, str]:
    config = {
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        # An acknowledged record survives the loss of one broker wherever there is a second copy.
        "min.insync.replicas": "2" if place.replication > 2 else "1",
    }
    if compacted:
        # Who takes over reads all of it: what is dead goes early, and not by segments of a GiB.
        return config | {
            "cleanup.policy": "compact",
            "segment.bytes": str(32 * 2**20),
            "min.cleanable.dirty.ratio": "0.1",
        }
    return config | {
        "cleanup.policy": "delete",
        "retention.ms": str(place.retention_ms),
        "retention.bytes": str(place.retention_bytes),
    }


def _check(
    place: KafkaPlace,
    topic: str,
    partitions: Mapping[int, int],
    config: Mapping[str, str],
    *,
    created: bool,
) -> TopicCheck:
    retention_ms = int(config.get("retention.ms") or -1)
    retention_bytes = int(config.get("retention.bytes") or -1)
    replication = min(partitions.values(), default=0)
    compared = (
        ("partitions", len(partitions), place.partitions),
        ("replication", replication, place.replication),
        ("retention.ms", retention_ms, place.retention_ms),
        ("retention.bytes", retention_bytes, place.retention_bytes),
    )
    differences = [
        f"{name} {is_}, settings say {want}" for name, is_, want in compared if is_ != want
    ]
    if "compact" in config.get("cleanup.policy", ""):
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
