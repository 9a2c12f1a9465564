"""The stages' counters and one-line details, for views and metrics."""

from collections import Counter
from collections.abc import Sequence

from mastostream.collector import Collector
from mastostream.core.consent import REASONS
from mastostream.engines.flink import FlinkEngine
from mastostream.engines.local import LocalEngine
from mastostream.indexer import Indexer
from mastostream.ports.stage import Stage

__all__ = ["counters", "details", "newest_observation_ms", "troubles"]


def counters(stages: Sequence[Stage]) -> dict[str, int]:
    """Return the counters of these stages by name, summed over stages of the same kind.

    The number of records that a stage has processed is not among them: its health has that number.
    """
    totals: Counter[str] = Counter()
    for stage in stages:
        if isinstance(stage, Collector):
            totals.update(_collector_counters(stage))
        elif isinstance(stage, LocalEngine):
            totals["records_rejected"] += stage.stats.rejected
            totals["records_late"] += stage.stats.late
            totals["dead_letters"] += stage.stats.dead_letters
            totals["records_lost"] += stage.stats.lost
        elif isinstance(stage, FlinkEngine):
            totals["records_rejected"] += stage.dropped
        elif isinstance(stage, Indexer):
            totals["documents_refused"] = stage.stats.refused
            totals["documents_lost"] = stage.stats.lost
    return totals


def details(stages: Sequence[Stage]) -> dict[str, str]:
    """Return a few words on the state of each stage that has some, by stage name."""
    texts = {}
    for stage in stages:
        if isinstance(stage, Collector):
            ways = [f"{server.name} {server.way}" for server in stage.stats.servers]
            failed = sum(source.failed for source in stage.stats.sources)
            errors = [source.error for source in stage.stats.sources]
            for server in stage.stats.servers:
                errors += [server.error, server.refresh_error]
            parts = [", ".join(ways), f"{failed} sources given up" if failed else ""]
            parts += [error for error in errors if error][:1]
            texts[stage.name] = "; ".join(filter(None, parts))
        elif isinstance(stage, FlinkEngine) and stage.dropped:
            texts[stage.name] = f"{stage.dropped} values left out that are no JSON"
    return texts


def troubles(stages: Sequence[Stage]) -> dict[str, str]:
    """Return why stages do not do their work although they run, by stage name.

    A collector does not while no server gives it posts, and an engine whose analyses fail.
    """
    texts = {}
    for stage in stages:
        if isinstance(stage, Collector):
            reasons = [server.trouble for server in stage.stats.servers]
            if all(reasons):
                texts[stage.name] = f"{'; '.join(filter(None, reasons))}; trying again"
        elif isinstance(stage, LocalEngine) and (complaints := stage.complaints()):
            texts[stage.name] = "; ".join(complaints)
    return texts


def newest_observation_ms(stages: Sequence[Stage]) -> int:
    """Return when an engine's newest post was observed, in milliseconds since the epoch; or 0."""
    engines = [stage for stage in stages if isinstance(stage, LocalEngine)]
    return max((engine.stats.observed_ms for engine in engines), default=0)


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
        "source_requests": sum(server.requests for server in stage.stats.servers),
        "source_retries": sum(source.retries for source in sources),
        "source_incomplete_rounds": sum(source.incomplete for source in sources),
        "source_stream_missed": sum(source.stream_missed for source in sources),
        "sources_failed": sum(source.failed for source in sources),
    }
