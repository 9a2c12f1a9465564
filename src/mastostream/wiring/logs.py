"""The log, and what reads and writes it."""

from mastostream.config import Settings
from mastostream.core.topics import DEAD_LETTERS
from mastostream.log.sqlite import (
    SqliteLogReader,
    SqliteLogWriter,
    TopicFacts,
    topic_facts,
)
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogReader, LogWriter
from mastostream.sinks.sqlite import SqliteIndexReader
from mastostream.wiring.places import places, system_clock

__all__ = ["dead_letter_reader", "index_reader", "log_writer", "topics"]


def log_writer(settings: Settings, clock: Clock | None = None) -> LogWriter:
    """Return a writer to the log."""
    now_ms = (clock or system_clock()).now_ms
    return SqliteLogWriter(places(settings).log, partitions=settings.partitions, now_ms=now_ms)


def dead_letter_reader(settings: Settings, group: str) -> LogReader:
    """Return a reader of the dead letters."""
    return SqliteLogReader(places(settings).log, topic=DEAD_LETTERS, group=group)


def index_reader(settings: Settings) -> SqliteIndexReader:
    """Return what answers a dashboard's questions."""
    return SqliteIndexReader(places(settings).log)


def topics(settings: Settings) -> tuple[TopicFacts, ...]:
    """Return what the log holds."""
    return topic_facts(places(settings).log)
