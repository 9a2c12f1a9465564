"""From servers to the log, each post once."""

from mastostream.collector.collect import Collector, CollectorStats
from mastostream.collector.followed import Target
from mastostream.collector.memory import CollectorMemory
from mastostream.collector.sighting import KeyBy
from mastostream.collector.stamping import stamp_raw
from mastostream.collector.timeline import Rhythm, SourceStats

__all__ = [
    "Collector",
    "CollectorMemory",
    "CollectorStats",
    "KeyBy",
    "Rhythm",
    "SourceStats",
    "Target",
    "stamp_raw",
]
