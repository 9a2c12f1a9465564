"""What stages say of themselves, for views and metrics."""

from collections import Counter
from collections.abc import Sequence

from mastostream.collector import Collector
from mastostream.core.consent import REASONS
from mastostream.engines.flink import FlinkEngine
from mastostream.engines.local import LocalEngine
from mastostream.indexer import Indexer
from mastostream.ports.stage import Stage

__all__ = ["counters", "details"]


def counters(stages: Sequence[Stage]) -> dict[str, int]:
    """Return what these stages count beside their records: every way in which one is set aside."""
    found: Counter[str] = Counter()
    for stage in stages:
        if isinstance(stage, Collector):
            found.update(_collector_counters(stage))
        elif isinstance(stage, LocalEngine):
            found["records_rejected"] += stage.stats.rejected
            found["records_late"] += stage.stats.late
            found["records_lost"] += stage.stats.lost
        elif isinstance(stage, FlinkEngine):
            found["records_rejected"] += stage.dropped
        elif isinstance(stage, Indexer):
            found["documents_refused"] = stage.stats.refused
            found["documents_lost"] = stage.stats.lost
    return found


def details(stages: Sequence[Stage]) -> dict[str, str]:
    """Return what these stages are at, in a few words, by their names."""
    found = {}
    for stage in stages:
        if isinstance(stage, Collector):
            ways = [f"{server.name} {server.way}" for server in stage.stats.servers]
            failed = sum(source.failed for source in stage.stats.sources)
            errors = [each.error for each in stage.stats.sources]
            errors += [each.refresh_error for each in stage.stats.servers]
            told = [", ".join(ways), f"{failed} sources given up" if failed else ""]
            told += [error for error in errors if error][:1]
            found[stage.name] = "; ".join(filter(None, told))
        elif isinstance(stage, FlinkEngine) and stage.dropped:
            found[stage.name] = f"{stage.dropped} values left out that are no JSON"
    return found


def _collector_counters(stage: Collector) -> dict[str, int]:
    dedup, sources = stage.stats.dedup, stage.stats.sources
    return {
        "posts_collected": dedup.new,
        "edits_collected": dedup.edits,
        "deletes_collected": dedup.deletes,
        "refreshes_collected": dedup.refreshes,
        "posts_known": dedup.known,
        "posts_stale": dedup.stale,
        "posts_after_delete": dedup.after_delete,
        "events_ignored": stage.stats.ignored_events,
        **{f"posts_left_out_{reason}": dedup.left_out[reason] for reason in REASONS},
        "source_requests": sum(each.requests for each in stage.stats.servers),
        "source_retries": sum(each.retries for each in sources),
        "source_incomplete_rounds": sum(each.incomplete for each in sources),
        "source_stream_missed": sum(each.stream_missed for each in sources),
        "sources_failed": sum(each.failed for each in sources),
    }
