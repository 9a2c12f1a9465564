"""The factories of Kafka clients, so that a caller can wrap or replace the clients."""

from collections.abc import Callable
from typing import Any

import attrs
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

__all__ = ["KafkaClients"]


@attrs.frozen(kw_only=True)
class KafkaClients:
    """Makes clients from librdkafka settings: confluent-kafka's own, or others that wrap them.

    Attributes:
        consumer: makes a consumer.
        producer: makes a producer.
        admin: makes an admin client, which reads metadata and creates topics.
    """

    consumer: Callable[[dict[str, Any]], Consumer] = Consumer
    producer: Callable[[dict[str, Any]], Producer] = Producer
    admin: Callable[[dict[str, Any]], AdminClient] = AdminClient
