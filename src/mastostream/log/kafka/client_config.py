"""The address of Kafka, and the settings of its clients.

Each setting here differs from librdkafka's default for a reason. The user's own ``settings`` win
over all of them. librdkafka's ``CONFIGURATION.md`` documents the names.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from mastostream.exceptions import ConfigurationError
from mastostream.log.kafka.client_log import LOGGER
from mastostream.log.kafka.clients import KafkaClients
from mastostream.prefixes import check_topic_prefix

__all__ = ["MAX_MESSAGE_BYTES", "KafkaClientConfig"]

MAX_MESSAGE_BYTES: Final = 8 * 2**20
"""The largest size of one record, in bytes. Kafka's own default is 1 MiB. A status with a long
text, or its dead letter, can be larger."""

_TIMEOUT_S: Final = 10.0
"""The longest time that one request may take, in seconds."""

_GUARANTEED: Final = frozenset(
    {
        "auto.commit.enable",
        "auto.offset.reset",
        "delivery.report.only.error",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.partition.eof",
        "group.id",
        "group.protocol",
        "message.timeout.ms",
        "partition.assignment.strategy",
        "transactional.id",
    }
)
"""Settings that the delivery guarantees depend on; the user cannot set them."""

_CALLBACKS: Final = frozenset(
    {"error_cb", "logger", "oauth_cb", "on_commit", "on_delivery", "stats_cb", "throttle_cb"}
)
"""Settings of the Python client that are functions. The user can only give text, which would break
the client."""

_SERVERS: Final = frozenset({"bootstrap.servers", "metadata.broker.list"})
"""Settings that name the servers; the user names them in ``servers`` instead."""


@attrs.frozen(kw_only=True)
class KafkaClientConfig:
    """The configuration of all clients of one Kafka, and of the topics that they create.

    Attributes:
        servers: the bootstrap servers: ``host:port``, separated by commas.
        group: the first part of the names of consumer groups and transactional ids.
        topic_prefix: put before the names of topics, groups and transactional ids in Kafka, and
            only there: callers use names without it, and records come back without it.
        partitions: the number of partitions of a new topic.
        replication: the number of replicas of each partition of a new topic.
        retention_ms: how long a new topic keeps records, in milliseconds; -1 keeps all.
        retention_bytes: how much each partition of a new topic keeps, in bytes; -1 keeps all.
        compression: ``lz4``, ``zstd`` or ``none``.
        settings: the user's own settings of librdkafka; may contain secrets.
        clients: makes the clients.

    Raises:
        ConfigurationError: the prefix is not allowed, or ``settings`` has a name that the user may
            not set.
    """

    servers: str = "localhost:9092"
    group: str = "mastostream"
    topic_prefix: str = ""
    partitions: int = 4
    replication: int = 1
    retention_ms: int = -1
    retention_bytes: int = -1
    compression: str = "lz4"
    settings: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    clients: KafkaClients = attrs.field(factory=KafkaClients, repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            check_topic_prefix(self.topic_prefix)
        except ValueError as error:
            raise ConfigurationError(f"[kafka] {error}") from error
        refused = sorted((_GUARANTEED | _CALLBACKS) & set(self.settings))
        if refused:
            raise ConfigurationError(
                f"[kafka.settings] {', '.join(refused)}: what mastostream promises depends on it, "
                "so it cannot be set"
            )
        misplaced = sorted(_SERVERS & set(self.settings))
        if misplaced:
            raise ConfigurationError(
                f"[kafka.settings] {', '.join(misplaced)}: name the servers in [kafka] servers"
            )

    @property
    def timeout_s(self) -> float:
        """The longest time of one request: the user's ``socket.timeout.ms``, at most 10 s.

        Raises:
            ConfigurationError: ``socket.timeout.ms`` is not a number.
        """
        name = "socket.timeout.ms"
        try:
            return min(_TIMEOUT_S, int(self.settings.get(name, "10000")) / 1000)
        except ValueError:
            raise ConfigurationError(
                f"[kafka.settings] {name}: expected a number of milliseconds"
            ) from None

    def full_name(self, name: str) -> str:
        """Return the name that a topic, a group or a transactional id has in Kafka."""
        return self.topic_prefix + name

    def admin(self) -> dict[str, Any]:
        """Return the settings of an admin client, which all other clients share."""
        return {
            "bootstrap.servers": self.servers,
            "client.id": "mastostream",
            "logger": LOGGER,
        } | dict(self.settings)

    def producer(self, **more: Any) -> dict[str, Any]:
        """Return the settings of an idempotent producer that retries for ever and drops no record.

        ``more`` are further settings. They win over these, and the user's win over both.
        """
        return (
            {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": self.compression,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                # 0 retries for ever: a broker that is away for an hour costs an hour, but no
                # records.
                "message.timeout.ms": 0,
                # A record waits so long for other records that are sent in the same request.
                "linger.ms": 2,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                # Python is called only for records that failed, which saves a call for each record.
                "delivery.report.only.error": True,
                # Kafka's Java clients use it too, so all clients put a key into the same partition.
                "partitioner": "murmur2_random",
            }
            | more
            | self.admin()
        )

    def consumer(self, group: str, **more: Any) -> dict[str, Any]:
        """Return the settings of a consumer that commits explicitly and reports ends of partitions.

        ``group`` is named without the prefix. ``more`` are further settings. They win over these,
        and the user's win over both.
        """
        return (
            {
                "group.id": self.full_name(group),
                "enable.auto.commit": False,
                # Records that retention deleted before they were read are counted, not skipped in
                # silence: the consumer reports the missing offset.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                # A reader that was killed keeps its partitions until this time-out.
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 2_000,
                # With the default of one second, a reader sleeps whenever its buffer was full.
                "fetch.queue.backoff.ms": 5,
                # How long Kafka waits for records before it answers that there are none. The end of
                # a partition is known only after this time.
                "fetch.wait.max.ms": 100,
                "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
                "queued.max.messages.kbytes": 65_536,
            }
            | more
            | self.admin()
        )
