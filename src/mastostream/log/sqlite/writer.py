"""Appends records to the log in SQLite."""

import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mastostream.database import transaction, translated
from mastostream.log.sqlite.schema import encode_headers, first_row, open_log, partition_ids
from mastostream.ports.log import NewRecord

__all__ = ["SqliteLogWriter", "append_records", "partition_of"]


def wall_clock_ms() -> int:
    """Return the time now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def partition_of(key: str | None, partitions: int) -> int:
    """Return the partition of a key: CRC-32 of its UTF-8 bytes, modulo ``partitions``.

    A record without a key goes to partition 0.
    """
    if key is None or partitions == 1:
        return 0
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % partitions


class SqliteLogWriter:
    """A :class:`ports.log.LogWriter` on a file. Each ``append`` is one transaction."""

    def __init__(
        self, path: Path, *, partitions: int = 1, now_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        """Open the file.

        Args:
            path: the log's file; created if it is missing.
            partitions: the number of partitions of a topic that this writer creates.
            now_ms: returns the timestamp of a record, in milliseconds since the epoch.

        Raises:
            DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect` says.
        """
        self._path = path
        self._partitions = partitions
        self._now_ms = now_ms
        self._connection = open_log(path)

    def append(self, records: Sequence[NewRecord]) -> None:
        if not records:
            return
        with translated(self._path), transaction(self._connection):
            append_records(self._connection, records, self._partitions, self._now_ms())

    def close(self) -> None:
        self._connection.close()


def append_records(
    connection: sqlite3.Connection,
    records: Sequence[NewRecord],
    partitions: int,
    timestamp_ms: int,
) -> None:
    """Append records in the open transaction; create topics that are missing.

    ``partitions`` is the number of partitions of a topic that is created.
    """
    by_topic: dict[str, list[NewRecord]] = {}
    for record in records:
        by_topic.setdefault(record.topic, []).append(record)
    for topic, topic_records in by_topic.items():
        ids = _ensure_topic(connection, topic, partitions)
        by_partition: dict[int, list[NewRecord]] = {}
        for record in topic_records:
            partition = partition_of(record.key, len(ids))
            by_partition.setdefault(partition, []).append(record)
        for partition, batch in by_partition.items():
            _append_batch(connection, ids[partition], batch, timestamp_ms)


def _ensure_topic(connection: sqlite3.Connection, topic: str, partitions: int) -> dict[int, int]:
    """Create the topic if it is missing; return the row ids of its partitions, by number."""
    ids = partition_ids(connection, topic)
    if not ids:
        connection.executemany(
            "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
            [(topic, partition) for partition in range(partitions)],
        )
        ids = partition_ids(connection, topic)
    return ids


def _append_batch(
    connection: sqlite3.Connection,
    partition_id: int,
    records: Sequence[NewRecord],
    timestamp_ms: int,
) -> None:
    (offset,) = connection.execute(
        "SELECT next_offset FROM partitions WHERE id = ?", (partition_id,)
    ).fetchone()
    first_id = first_row(partition_id, offset)
    connection.executemany(
        "INSERT INTO records (id, timestamp_ms, key, value, headers) VALUES (?, ?, ?, ?, ?)",
        [
            (row_id, timestamp_ms, key, value, encode_headers(headers) if headers else None)
            for row_id, (_, key, value, headers) in enumerate(records, first_id)
        ],
    )
    connection.execute(
        "UPDATE partitions SET next_offset = next_offset + ?, size_bytes = size_bytes + ? "
        "WHERE id = ?",
        (len(records), sum(len(record.value) for record in records), partition_id),
    )
