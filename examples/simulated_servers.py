"""Test a Mastodon tool of your own on simulated servers: compare what it holds with the truth."""

import json
import time
import urllib.request

from mastostream.ports.clock import ScaledClock
from mastostream.testing.simulator import Fediverse, HeldPost, TrafficProfile, compare, serving

START_MS = 1_750_000_000_000
clock = ScaledClock(time.time_ns() // 1_000_000, START_MS, speed=600)
fediverse = Fediverse(
    hosts=("one.example", "two.example"),
    start_ms=START_MS,
    traffic_profile=TrafficProfile(posts_per_s=0.05),
)
held: dict[str, HeldPost] = {}

with serving(fediverse, clock=clock, rate_limit=None) as servers:
    while clock.now_ms() < START_MS + 1_800_000:  # half an hour, in three seconds
        for server in servers:
            page = f"{server.url}/api/v1/timelines/tag/news?limit=40"
            with urllib.request.urlopen(page) as answer:  # noqa: S310 - the loopback
                for status in json.load(answer):
                    counts = {name: status[name] for name in status if name.endswith("s_count")}
                    held[status["uri"]] = HeldPost(
                        key=status["uri"], content=status["content"], **counts
                    )
        time.sleep(0.1)
    truth = fediverse.truth(["news"], START_MS, clock.now_ms())

# This tool never reads a post again: it keeps old counts, and posts that were deleted since.
print(compare(truth, held.values()))
