"""Posts of all partitions as one stream, in the order in which the log took them.

Flink reads partitions side by side: an hour of one may come before the first minute of another,
whose posts would all be late. So they wait here until Flink's watermark, which the source makes of
the log's own times, says that no partition brings an older one. That of :mod:`log.kafka.merging`
is the same order.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from mastostream.core.windows import Arrival

__all__ = ["Merge", "Waiting"]


class Waiting(NamedTuple):
    """A post that waits for its turn.

    Attributes:
        order_ms: when the log took it.
        offset: where it stands in its partition.
        batch: the number of the batch that it came in.
        arrival: the post.
    """

    order_ms: int
    offset: int
    batch: int
    arrival: Arrival


class Merge:
    """Merges partitions; within one, posts keep the order in which they come."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Waiting]] = {}

    def add(self, posts: Iterable[Waiting]) -> None:
        """Let some wait: each after those of its partition that are there."""
        for post in posts:
            self._waiting.setdefault(post.arrival.partition, deque()).append(post)

    def release(self, until_ms: int | None) -> list[Waiting]:
        """Take out what the log took at this time or before; ``None`` takes out all."""
        heads = [
            (posts[0].order_ms, partition) for partition, posts in self._waiting.items() if posts
        ]
        heapq.heapify(heads)
        found: list[Waiting] = []
        while heads and (until_ms is None or heads[0][0] <= until_ms):
            partition = heads[0][1]
            posts = self._waiting[partition]
            found.append(posts.popleft())
            if posts:
                heapq.heapreplace(heads, (posts[0].order_ms, partition))
            else:
                heapq.heappop(heads)
        return found
