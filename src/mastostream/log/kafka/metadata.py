"""Asking Kafka what topics there are: every client begins with it.

librdkafka goes on trying in the background and only says that no broker has answered. Why, it
reports aside: a wrong password and a broker that is off would look alike without it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from mastostream.log.kafka.client_config import KafkaClientConfig
from mastostream.log.kafka.errors import translate_error, translated

__all__ = ["TopicMap", "available_topics", "topic_map"]

TopicMap = Mapping[str, Mapping[int, int]]
"""Topic, as Kafka calls it, to partition to the number of its copies."""

_WAITS: Final = (0.1, 0.2, 0.7)
"""Of the time that a question has, between two looks at what was reported: a wrong password is told
after a second."""

_REFUSALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
_SAY_NOTHING: Final = frozenset({KafkaError._ALL_BROKERS_DOWN})


def topic_map(config: KafkaClientConfig) -> tuple[AdminClient, TopicMap]:
    """Return a client that is connected, and the topics that there are.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    reported: list[KafkaError] = []
    with translated(config):
        admin = config.clients.admin(config.admin() | {"error_cb": reported.append})
    for part in _WAITS:
        try:
            topics = admin.list_topics(timeout=part * config.timeout_s).topics
        except KafkaException as error:
            failure = error
        else:
            return admin, _copies(topics)
        admin.poll(0)
        refusal = _last(each for each in reported if _is_refusal(each))
        if refusal is not None:
            raise translate_error(refusal, config) from failure
    reason = _last(each for each in reported if each.code() not in _SAY_NOTHING)
    raise translate_error(reason or failure.args[0], config) from failure


def available_topics(admin: AdminClient, config: KafkaClientConfig) -> frozenset[str]:
    """Return the topics, as Kafka calls them, of which every partition has its leader.

    Raises:
        RetriableError, ConfigurationError, FatalError: as :func:`errors.translated`.
    """
    with translated(config):
        topics = admin.list_topics(timeout=config.timeout_s).topics
    return frozenset(
        name
        for name, topic in topics.items()
        if topic.error is None and all(each.leader >= 0 for each in topic.partitions.values())
    )


def _is_refusal(error: KafkaError) -> bool:
    """Whether the broker has said no: one that goes down in mid-greeting has not."""
    return error.code() in _REFUSALS and "isconnected" not in error.str()


def _last(errors: Iterable[KafkaError]) -> KafkaError | None:
    return next(iter([*errors][::-1]), None)


def _copies(topics: Mapping[str, Any]) -> TopicMap:
    return {
        name: {number: len(each.replicas) for number, each in topic.partitions.items()}
        for name, topic in topics.items()
        if topic.error is None
    }
