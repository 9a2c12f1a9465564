"""From sources to the log, each post once."""

from mastostream.collector.collect import Collector, CollectorStats, SourceStats
from mastostream.collector.memory import CollectorMemory
from mastostream.collector.stamping import stamp_raw

__all__ = ["Collector", "CollectorMemory", "CollectorStats", "SourceStats", "stamp_raw"]
