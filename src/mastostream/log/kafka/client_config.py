"""Which Kafka, and how its clients are set up.

What is set here differs from librdkafka's defaults for a reason each; ``settings`` of the user win
over all of it. The names are those of librdkafka's ``CONFIGURATION.md``.
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
"""Of one record. Kafka's own default of 1 MiB is less than a status with a long text and its dead
letter can take."""

_TIMEOUT_S: Final = 10.0

_PROMISED: Final = frozenset(
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
_CALLED: Final = frozenset(
    {"error_cb", "logger", "oauth_cb", "on_commit", "on_delivery", "stats_cb", "throttle_cb"}
)
"""Settings of the Python client that are functions; text in their place would break it."""

_SERVERS: Final = frozenset({"bootstrap.servers", "metadata.broker.list"})


@attrs.frozen(kw_only=True)
class KafkaClientConfig:
    """One Kafka, with what its topics and groups are like.

    Attributes:
        servers: ``host:port``, several separated by commas.
        group: consumer groups' and transactional ids' names begin with it.
        topic_prefix: names of topics, groups and transactional ids begin with it in Kafka, and only
            there: callers name them without it, and records come back without it.
        partitions: of a topic that is created.
        replication: of a topic that is created.
        retention_ms: of a topic that is created; -1 keeps everything.
        retention_bytes: of each partition of a topic that is created; -1 keeps everything.
        compression: ``lz4``, ``zstd`` or ``none``.
        settings: of librdkafka, the user's; may hold secrets.
        clients: makes the clients.
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
        refused = sorted((_PROMISED | _CALLED) & set(self.settings))
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
        """How long one question waits: ``socket.timeout.ms`` of the user's, at most 10 s."""
        name = "socket.timeout.ms"
        try:
            return min(_TIMEOUT_S, int(self.settings.get(name, "10000")) / 1000)
        except ValueError:
            raise ConfigurationError(
                f"[kafka.settings] {name}: expected a number of milliseconds"
            ) from None

    def full_name(self, name: str) -> str:
        """Return what a topic, a group or a transactional id is called in Kafka."""
        return self.topic_prefix + name

    def admin(self) -> dict[str, Any]:
        """Settings of a client that only asks and creates."""
        return {
            "bootstrap.servers": self.servers,
            "client.id": "mastostream",
            "logger": LOGGER,
        } | dict(self.settings)

    def producer(self, **more: Any) -> dict[str, Any]:
        """Settings of a producer: idempotent, and patient for ever, so that nothing is dropped."""
        return (
            {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": self.compression,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                # For ever: a broker that is away for an hour costs an hour, no records.
                "message.timeout.ms": 0,
                # A record waits so long for others that travel with it.
                "linger.ms": 2,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                # One Python call for each record that failed, none for each that did not.
                "delivery.report.only.error": True,
                # As Kafka's own clients: the same key is in the same partition for all of them.
                "partitioner": "murmur2_random",
            }
            | more
            | self.admin()
        )

    def consumer(self, group: str, **more: Any) -> dict[str, Any]:
        """Settings of a consumer that commits by hand and is told where a partition ends."""
        return (
            {
                "group.id": self.full_name(group),
                "enable.auto.commit": False,
                # What retention took before it was read is counted, not skipped in silence.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                # A reader that was killed holds its partitions for so long.
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 2_000,
                # The default of a second makes a reader sleep whenever its buffer was full.
                "fetch.queue.backoff.ms": 5,
                # How long Kafka waits for records before it says that there are none: so late is
                # the end of a partition known.
                "fetch.wait.max.ms": 100,
                "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
                "queued.max.messages.kbytes": 65_536,
            }
            | more
            | self.admin()
        )
