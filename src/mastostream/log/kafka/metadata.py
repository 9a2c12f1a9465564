"""Reads from Kafka which topics there are. Every client makes this request first.

A request that fails only says that no broker has answered, because librdkafka keeps trying in the
background. It reports the cause to ``error_cb``. Without that callback, a wrong password and a
broker that is off would look alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translate_error, translated

__all__ = ["TopicMap", "available_topics", "topic_map"]

TopicMap = Mapping[str, Mapping[int, int]]
"""Maps a topic's name in Kafka to its partitions, and each partition to its number of replicas."""

_TRY_SHARES: Final = (0.1, 0.2, 0.7)
"""The request is made up to three times. Each number is the share of the time-out that one try
gets; after each try the reported errors are checked. So, with a time-out of 10 s, a wrong password
raises an error after about one second.
"""

_REFUSALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
"""Errors that another try does not change."""

_UNINFORMATIVE: Final = frozenset({KafkaError._ALL_BROKERS_DOWN})
"""Errors that do not name a cause."""


def topic_map(config: KafkaClientConfig) -> tuple[AdminClient, TopicMap]:
    """Return an admin client that is connected, and the topics that exist.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    reported: list[KafkaError] = []
    with translated(config):
        admin = config.clients.admin(config.admin() | {"error_cb": reported.append})
    for share in _TRY_SHARES:
        try:
            topics = admin.list_topics(timeout=share * config.timeout_s).topics
        except KafkaException as error:
            failure = error
        else:
            return admin, _replica_counts(topics)
        admin.poll(0)
        refusal = _last(error for error in reported if _is_refusal(error))
        if refusal is not None:
            raise translate_error(refusal, config) from failure
    reason = _last(error for error in reported if error.code() not in _UNINFORMATIVE)
    raise translate_error(reason or failure.args[0], config) from failure


def available_topics(admin: AdminClient, config: KafkaClientConfig) -> frozenset[str]:
    """Return the topics of which every partition has a leader, by their names in Kafka.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated` says.
    """
    with translated(config):
        topics = admin.list_topics(timeout=config.timeout_s).topics
    return frozenset(
        name
        for name, topic in topics.items()
        if topic.error is None
        and all(partition.leader >= 0 for partition in topic.partitions.values())
    )


def _is_refusal(error: KafkaError) -> bool:
    """Return whether the broker refuses this client.

    A broker that goes down during the handshake is reported under the same codes, with a text that
    says "disconnected": that is no refusal.
    """
    return error.code() in _REFUSALS and "isconnected" not in error.str()


def _last(errors: Iterable[KafkaError]) -> KafkaError | None:
    """Return the last of the errors; ``None`` if there are none."""
    return next(iter([*errors][::-1]), None)


def _replica_counts(topics: Mapping[str, Any]) -> TopicMap:
    return {
        name: {number: len(partition.replicas) for number, partition in topic.partitions.items()}
        for name, topic in topics.items()
        if topic.error is None
    }
