"""Measures the delay of posts: from ``produce`` until a consumer has the engagement record."""

import time
from statistics import median, quantiles
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from .running import ENGAGEMENT, INPUT, PARTITIONS, PATIENCE_S, Bench

RATE_PER_S = 200
SECONDS = 20


def delays_ms(bench: Bench, first: int = 0, warm_up_s: int = 1) -> tuple[float, float]:
    """Return the median and the 99th percentile of the running contender, in milliseconds.

    Posts are sent at ``RATE_PER_S``.

    Args:
        bench: the broker and the statuses.
        first: number of the first status to send; those below it were sent already.
        warm_up_s: seconds at the beginning whose delays do not count.
    """
    delays = sorted(1000 * delay_s for delay_s in _delays_s(bench, first, warm_up_s))
    return median(delays), quantiles(delays, n=100)[98]


def _delays_s(bench: Bench, first: int, warm_up_s: int) -> list[float]:
    producer = Producer({"bootstrap.servers": bench.servers, "linger.ms": 0})
    settings = {"bootstrap.servers": bench.servers, "group.id": uuid4().hex}
    consumer = Consumer(settings)
    partitions = [TopicPartition(ENGAGEMENT, number) for number in range(PARTITIONS)]
    for partition in partitions:
        partition.offset = consumer.get_watermark_offsets(partition, PATIENCE_S)[1]
    consumer.assign(partitions)
    sent_s: dict[bytes, float] = {}
    delays_s: list[float] = []
    posts = RATE_PER_S * (SECONDS + warm_up_s)
    statuses = bench.statuses.take(first, posts)
    began_s = time.monotonic()
    end_s = began_s + 3 * (SECONDS + warm_up_s)
    while (count := len(sent_s)) > len(delays_s) or count < posts:
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
            delays_s.append(time.monotonic() - sent_s[message.key()])
    producer.flush()
    consumer.close()
    return delays_s[RATE_PER_S * warm_up_s :]
