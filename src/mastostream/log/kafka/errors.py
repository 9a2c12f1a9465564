"""Translates Kafka's error codes into this package's exceptions, with advice in each message.

The codes are documented in librdkafka's ``rdkafka.h``; those with a leading underscore are its own,
the others come from the broker.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from mastostream.exceptions import ConfigurationError, FatalError, MastostreamError, RetriableError
from mastostream.log.kafka.client_config import KafkaClientConfig

__all__ = [
    "LOST_PARTITIONS",
    "NO_SUCH_TOPIC",
    "TOO_LARGE",
    "error_text",
    "translate_error",
    "translated",
]

LOST_PARTITIONS: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._STATE,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""Another reader of the group has the partitions now, or will soon have them."""

NO_SUCH_TOPIC: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
"""The topic or the partition does not exist."""

_NOT_AUTHENTICATED: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.DELEGATION_TOKEN_EXPIRED,
        KafkaError.DELEGATION_TOKEN_NOT_FOUND,
    }
)
_TLS: Final = frozenset({KafkaError._SSL})
_UNREACHABLE: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}
)
_NOT_AUTHORIZED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
    }
)
TOO_LARGE: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE}
)
_WRONG_SETTINGS: Final = frozenset(
    {
        KafkaError._INVALID_ARG,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_SESSION_TIMEOUT,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INVALID_REPLICA_ASSIGNMENT,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNRELEASED_INSTANCE_ID,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
    }
)
_RETRIABLE: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._QUEUE_FULL,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._RETRY,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._ISR_INSUFF,
        KafkaError._DESTROY,
        KafkaError._INTR,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.NOT_CONTROLLER,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
        # A request for offsets ends with this code while a partition has no leader.
        KafkaError._NOENT,
        KafkaError._FAIL,
        KafkaError._DESTROY_BROKER,
        KafkaError._UNKNOWN_BROKER,
        KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FETCH_SESSION_ID_NOT_FOUND,
        KafkaError.INVALID_FETCH_SESSION_EPOCH,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.STALE_BROKER_EPOCH,
        KafkaError.STALE_CTRL_EPOCH,
        KafkaError.REASSIGNMENT_IN_PROGRESS,
    }
)


@contextmanager
def translated(config: KafkaClientConfig) -> Iterator[None]:
    """Turn Kafka's errors that the block raises into this package's.

    Raises:
        RetriableError: the broker is away or busy.
        ConfigurationError: a setting is wrong, a topic is missing, or Kafka does not authenticate
            or authorize this client.
        FatalError: anything else.
    """
    try:
        yield
    except KafkaException as error:
        raise translate_error(error.args[0], config) from error
    except BufferError as error:
        raise RetriableError(
            f"Kafka at {config.servers} does not take records fast enough"
        ) from error


def translate_error(error: KafkaError, config: KafkaClientConfig) -> MastostreamError:
    """Return the exception to raise for an error that Kafka reports."""
    where = f"Kafka at {config.servers}"
    what = error_text(error, config)
    code = error.code()
    for codes, kind, text in _MEANINGS:
        if code in codes:
            return kind(text.format(where=where, what=what))
    if code in _RETRIABLE or code in LOST_PARTITIONS or error.retriable():
        return RetriableError(f"{where} cannot do it now ({what})")
    return FatalError(f"{where}: {what}: its own log may say more")


def error_text(error: KafkaError, config: KafkaClientConfig) -> str:
    """Return the text of an error, in one line and without the secrets of ``config``."""
    return _shorten(_without_secrets(error.str() or error.name(), config))


_MEANINGS: Final[tuple[tuple[frozenset[int], type[MastostreamError], str], ...]] = (
    (
        _NOT_AUTHENTICATED,
        ConfigurationError,
        "{where} does not accept us ({what}): check KAFKA_USERNAME, KAFKA_PASSWORD and [kafka]",
    ),
    (
        _TLS,
        ConfigurationError,
        "{where} and mastostream do not agree on TLS ({what}): check ssl.* in [kafka.settings]",
    ),
    (
        _UNREACHABLE,
        RetriableError,
        "{where} cannot be reached ({what}): start it, or check servers and security.protocol",
    ),
    (
        _NOT_AUTHORIZED,
        ConfigurationError,
        "{where} does not allow this ({what}): ask for the permission",
    ),
    (
        NO_SUCH_TOPIC,
        ConfigurationError,
        "{where} has no such topic ({what}): 'mastostream topics' creates those that are missing",
    ),
    (
        TOO_LARGE,
        FatalError,
        "{where} refuses a record for its size ({what}): raise max.message.bytes of the topic",
    ),
    (_WRONG_SETTINGS, ConfigurationError, "wrong settings of Kafka: {what}: check [kafka]"),
)
"""Error codes, the exception that they become, and its message. ``{where}`` names the Kafka,
``{what}`` is the text of the error."""


def _shorten(text: str) -> str:
    """Remove the name of librdkafka's connection from the front, and its age from the end."""
    text = re.sub(r"^(?:\w+://)?[\w.:\[\]-]+/(?:bootstrap|\d+): ", "", text.strip())
    text = re.sub(r" \(after \d+ms in state .*\)$", "", text)
    return " ".join(text.split())


_SECRET_WORDS: Final = ("password", "secret", "key", "oauth", "jaas")
"""A setting whose name contains one of these words is a secret."""

_MIN_SECRET_LENGTH: Final = 6
"""Shorter values, in characters, are not hidden. They also occur by chance within other words, and
hiding them there would show what they are."""


def _without_secrets(text: str, config: KafkaClientConfig) -> str:
    for name, value in config.settings.items():
        if name.endswith(".location") or len(value) < _MIN_SECRET_LENGTH:
            continue
        if any(word in name for word in _SECRET_WORDS):
            text = text.replace(value, "***")
    return text
