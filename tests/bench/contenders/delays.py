"""How long a post takes from ``produce`` to the moment when its record can be read."""

import time
from statistics import median, quantiles
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from .running import ENGAGEMENT, INPUT, PARTITIONS, PATIENCE_S, Bench

RATE_PER_S = 200
SECONDS = 20


def delays_ms(bench: Bench, first: int = 0, warm_up_s: int = 1) -> tuple[float, float]:
    """Return the median and the 99th percentile, at a steady rate, of whoever runs.

    Args:
        bench: where.
        first: the number of the first status that nobody has sent yet.
        warm_up_s: seconds at that rate that do not count.
    """
    found = sorted(1000 * each for each in _delays_s(bench, first, warm_up_s))
    return median(found), quantiles(found, n=100)[98]


def _delays_s(bench: Bench, first: int, warm_up_s: int) -> list[float]:
    producer = Producer({"bootstrap.servers": bench.servers, "linger.ms": 0})
    settings = {"bootstrap.servers": bench.servers, "group.id": uuid4().hex}
    consumer = Consumer(settings)
    partitions = [TopicPartition(ENGAGEMENT, each) for each in range(PARTITIONS)]
    for each in partitions:
        each.offset = consumer.get_watermark_offsets(each, PATIENCE_S)[1]
    consumer.assign(partitions)
    sent_s: dict[bytes, float] = {}
    found: list[float] = []
    posts = RATE_PER_S * (SECONDS + warm_up_s)
    statuses = bench.statuses.take(first, posts)
    began_s = time.monotonic()
    end_s = began_s + 3 * (SECONDS + warm_up_s)
    while (count := len(sent_s)) > len(found) or count < posts:
        now_s = time.monotonic()
        assert now_s < end_s, "some never came"
        due_s = began_s + count / RATE_PER_S
        if now_s >= due_s and (status := next(statuses, None)):
            sent_s[status[0].encode()] = time.monotonic()
            producer.produce(INPUT, status[1], status[0])
            producer.poll(0)
            continue
        message = consumer.poll(max(0.001, due_s - now_s))
        if message is not None:
            assert message.error() is None, message.error()
            found.append(time.monotonic() - sent_s[message.key()])
    producer.flush()
    consumer.close()
    return found[RATE_PER_S * warm_up_s :]
