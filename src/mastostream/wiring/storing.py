"""What keeps the results and the raw posts."""

from collections.abc import Callable

from mastostream.archiver import Archiver
from mastostream.config import Settings
from mastostream.core.topics import ENGAGEMENT, HASHTAGS, STREAM
from mastostream.exceptions import FatalError
from mastostream.indexer import Indexer
from mastostream.log.sqlite import (
    Retention,
    RetentionStage,
    SqliteLogReader,
)
from mastostream.ports.clock import Clock
from mastostream.ports.log import LogReader
from mastostream.ports.stage import Stage
from mastostream.sinks.archive import FileArchive, value_of
from mastostream.sinks.sqlite import SqliteIndex
from mastostream.wiring.logs import log_writer, topics
from mastostream.wiring.places import places

__all__ = ["archiver", "indexer", "retention_stages", "unwrap_line"]

unwrap_line: Callable[[bytes], bytes] = value_of


def indexer(settings: Settings, clock: Clock) -> Indexer:
    """Index the results of the per-post analyses."""
    path = places(settings).log
    readers: dict[str, LogReader] = {
        topic: SqliteLogReader(path, topic=topic, group="index") for topic in (ENGAGEMENT, HASHTAGS)
    }
    return Indexer(readers, SqliteIndex(path), log_writer(settings), clock=clock)


def archiver(settings: Settings, clock: Clock, topic: str = STREAM) -> Archiver:
    """Archive a topic, by default the collected posts.

    Raises:
        FatalError: the folder holds another log's archive.
    """
    where = places(settings)
    sink = FileArchive(
        str(where.archive.absolute()),
        topic,
        clock=clock,
        compression=settings.archive.compression,
        rotate_bytes=settings.archive.rotate_bytes,
        rotate_s=settings.archive.rotate_s,
    )
    ends = {
        facts.partition: facts.next_offset for facts in topics(settings) if facts.topic == topic
    }
    for partition, position in sink.positions().items():
        if position > ends.get(partition, 0):
            raise FatalError(
                f"the archive in {where.archive} goes up to offset {position - 1} of {topic}, but "
                f"the log {where.log} ends before it: the archive is another log's, choose another "
                "folder for it"
            )
    return Archiver(SqliteLogReader(where.log, topic=topic, group="archive"), sink)


def retention_stages(settings: Settings, clock: Clock) -> tuple[Stage, ...]:
    """Return the stage that deletes old records, if the settings ask for it."""
    kept = settings.retention
    if not kept.age_days and not kept.size_bytes:
        return ()
    retention = Retention(age_s=kept.age_days * 86_400 or None, size_bytes=kept.size_bytes or None)
    return (RetentionStage(places(settings).log, retention, clock=clock),)
