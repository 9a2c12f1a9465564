"""The task by hand with confluent-kafka: the shortest loop from Kafka to Kafka that does it.

python by_confluent_kafka.py SERVERS INPUT GROUP ENGAGEMENT HASHTAGS
"""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer
from task import CONSUMER, PRODUCER, records


def main(servers: str, source: str, group: str, engagement: str, hashtags: str) -> None:
    """Process records until the process is ended."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        | CONSUMER
    )
    producer = Producer({"bootstrap.servers": servers} | PRODUCER)
    consumer.subscribe([source])
    committed = time.monotonic()
    while True:
        for message in consumer.consume(5_000, 0.2):
            key, first, second = records(message.value())
            producer.produce(engagement, first, key)
            producer.produce(hashtags, second, key)
        producer.poll(0)
        if time.monotonic() - committed > 1:
            producer.flush()
            committed = time.monotonic()
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                print(error, file=sys.stderr)  # nothing to commit: no record was read yet


if __name__ == "__main__":
    main(*sys.argv[1:])
