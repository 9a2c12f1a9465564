"""Builds the stage that deletes old records from the log."""

from mastostream.config import Settings
from mastostream.log.sqlite import (
    Retention,
    RetentionStage,
)
from mastostream.ports.clock import Clock
from mastostream.ports.stage import Stage
from mastostream.wiring.paths import data_paths

__all__ = ["retention_stages"]


def retention_stages(settings: Settings, clock: Clock) -> tuple[Stage, ...]:
    """Return the stage that deletes old records, if the settings ask for it."""
    kept = settings.retention
    if settings.log == "kafka":  # Kafka's brokers delete old records
        return ()
    if not kept.age_days and not kept.size_bytes:
        return ()
    retention = Retention(age_s=kept.age_days * 86_400 or None, size_bytes=kept.size_bytes or None)
    return (RetentionStage(data_paths(settings).log, retention, clock=clock),)
