"""The collector: reads posts from Mastodon servers and appends each one once to the log."""

from mastostream.collector.collect import Collector, CollectorStats
from mastostream.collector.observation import KeyBy
from mastostream.collector.request_scheduler import Target
from mastostream.collector.stamping import stamp_raw
from mastostream.collector.state_store import CollectorStateStore
from mastostream.collector.timeline import PollSchedule, SourceStats

__all__ = [
    "Collector",
    "CollectorStateStore",
    "CollectorStats",
    "KeyBy",
    "PollSchedule",
    "SourceStats",
    "Target",
    "stamp_raw",
]
