"""Where the clients of Kafka come from."""

from collections.abc import Callable
from typing import Any

import attrs
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

__all__ = ["KafkaClients"]


@attrs.frozen(kw_only=True)
class KafkaClients:
    """Makes clients from their settings: confluent-kafka's own, or ones that trace or count.

    Attributes:
        consumer: makes a consumer.
        producer: makes a producer.
        admin: makes a client that asks and creates.
    """

    consumer: Callable[[dict[str, Any]], Consumer] = Consumer
    producer: Callable[[dict[str, Any]], Producer] = Producer
    admin: Callable[[dict[str, Any]], AdminClient] = AdminClient
