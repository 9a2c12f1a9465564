"""Merges the posts of all partitions into one stream, in the order of the log's timestamps.

Flink reads partitions side by side: an hour of one may come before the first minute of another,
whose posts would then all be late. So posts wait here until Flink's watermark says that no
partition has an older one; the source makes the watermark from the log's timestamps. Posts of one
time are ordered by partition, then by offset: the order that
:mod:`log.kafka.partition_merge` uses.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from mastostream.core.windows import Arrival

__all__ = ["Merge", "Waiting"]


class Waiting(NamedTuple):
    """A post that waits for the watermark.

    Attributes:
        order_ms: the time by which it is ordered: its timestamp in the log, in milliseconds since
            1970.
        offset: its offset in its partition.
        batch: the number of the batch that it came in.
        arrival: the post, as windows take it.
    """

    order_ms: int
    offset: int
    batch: int
    arrival: Arrival


class Merge:
    """Merges partitions by time. Posts of one partition keep the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Waiting]] = {}

    def add(self, posts: Iterable[Waiting]) -> None:
        """Add posts, each behind those of its partition that already wait."""
        for post in posts:
            self._waiting.setdefault(post.arrival.partition, deque()).append(post)

    def release(self, until_ms: int | None) -> list[Waiting]:
        """Take out the posts up to this time, in order; ``None`` takes out all."""
        heads = [
            (posts[0].order_ms, partition) for partition, posts in self._waiting.items() if posts
        ]
        heapq.heapify(heads)
        released: list[Waiting] = []
        while heads and (until_ms is None or heads[0][0] <= until_ms):
            partition = heads[0][1]
            posts = self._waiting[partition]
            released.append(posts.popleft())
            if posts:
                heapq.heapreplace(heads, (posts[0].order_ms, partition))
            else:
                heapq.heappop(heads)
        return released
