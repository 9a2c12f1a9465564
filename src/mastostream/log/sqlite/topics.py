"""Lists the topics of a log file with their partitions and offsets."""

from pathlib import Path

import attrs

from mastostream.database import translated
from mastostream.log.sqlite.schema import open_log
from mastostream.ports.log import TopicFacts

__all__ = ["topic_facts"]


def topic_facts(path: Path) -> tuple[TopicFacts, ...]:
    """Return all partitions of all topics in the file, sorted by topic and partition.

    Raises:
        DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect` says.
    """
    connection = open_log(path)
    try:
        with translated(path):
            rows = connection.execute(
                "SELECT topic, partition, first_offset, next_offset, size_bytes "
                "FROM partitions ORDER BY topic, partition"
            ).fetchall()
    finally:
        connection.close()
    names = [field.name for field in attrs.fields(TopicFacts)]
    return tuple(TopicFacts(**dict(zip(names, row, strict=True))) for row in rows)
