"""Reads one topic of the log in SQLite, oldest record first."""

import heapq
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Final

from mastostream.database import transaction, translated
from mastostream.exceptions import FatalError
from mastostream.log.sqlite.schema import (
    OFFSET_BITS,
    decode_headers,
    first_row,
    open_log,
    partition_ids,
)
from mastostream.ports.log import Positions, Record

__all__ = ["SqliteLogReader", "committed", "read_records", "store_positions"]

POLL_S: Final = 0.02
"""How often a waiting reader looks for new records, in seconds. One look takes 5 us."""

_OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
_BY_TIME: Final = attrgetter("timestamp_ms")


class SqliteLogReader:
    """A :class:`ports.log.LogReader` on a file: one topic, one group, used by one thread.

    A group that has committed nothing starts at the oldest record. Two readers of one group do not
    share the work: each reads all partitions.
    """

    def __init__(self, path: Path, *, topic: str, group: str, resume: bool = True) -> None:
        """Open the file.

        Args:
            path: the log's file.
            topic: the topic to read.
            group: the group of readers that commits positions.
            resume: ``True`` starts at the positions that the group has committed, ``False`` at the
                oldest record.

        Raises:
            DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect` says.
        """
        self._path = path
        self._topic = topic
        self._group = group
        self._lost = 0
        self._connection = open_log(path)
        with translated(path):
            self._positions = committed(self._connection, topic, group) if resume else {}

    @property
    def lost(self) -> int:
        return self._lost

    @property
    def generation(self) -> int:
        return 0

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        with translated(self._path):
            records = read_records(
                self._connection, self._topic, self._positions, max_records, timeout_s
            )
        for record in records:
            self._lost += record.offset - self._positions.get(record.partition, record.offset)
            self._positions[record.partition] = record.offset + 1
        return records

    def seek(self, positions: Positions) -> None:
        self._positions.update(positions)

    def commit(self, positions: Positions) -> None:
        with translated(self._path), transaction(self._connection):
            store_positions(self._connection, self._topic, self._group, positions)

    def close(self) -> None:
        self._connection.close()


def committed(connection: sqlite3.Connection, topic: str, group: str) -> dict[int, int]:
    """Return the positions that the group has committed, by partition."""
    rows = connection.execute(
        "SELECT partition, offsets.next_offset FROM offsets JOIN partitions "
        "ON partitions.id = partition_id WHERE topic = ? AND reader = ?",
        (topic, group),
    )
    return dict(rows.fetchall())


def store_positions(
    connection: sqlite3.Connection, topic: str, group: str, positions: Positions
) -> None:
    """Store a group's positions in the open transaction.

    Raises:
        FatalError: the topic does not have one of the partitions.
    """
    ids = partition_ids(connection, topic)
    unknown = set(positions) - set(ids)
    if unknown:
        raise FatalError(f"topic {topic} has no partition {min(unknown)}")
    connection.executemany(
        "INSERT INTO offsets (reader, partition_id, next_offset) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        [(group, ids[partition], offset) for partition, offset in positions.items()],
    )


def read_records(
    connection: sqlite3.Connection,
    topic: str,
    positions: Mapping[int, int],
    max_records: int,
    timeout_s: float,
) -> list[Record]:
    """Return the topic's next records by timestamp; wait up to ``timeout_s`` for the first.

    Args:
        connection: the log.
        topic: the topic to read.
        positions: the offset of the next record of each partition; 0 if it is missing.
        max_records: the most records to return.
        timeout_s: how long to wait, in seconds.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        records = _read_now(connection, topic, positions, max_records)
        left_s = deadline_s - time.monotonic()
        if records or left_s <= 0:
            return records
        time.sleep(min(POLL_S, left_s))


def _read_now(
    connection: sqlite3.Connection, topic: str, positions: Mapping[int, int], max_records: int
) -> list[Record]:
    partitions = partition_ids(connection, topic)
    streams = [
        _records(
            topic, partition, _rows(connection, row_id, positions.get(partition, 0), max_records)
        )
        for partition, row_id in partitions.items()
    ]
    if len(streams) == 1:
        return list(streams[0])
    return list(islice(heapq.merge(*streams, key=_BY_TIME), max_records))


def _rows(
    connection: sqlite3.Connection, partition_id: int, offset: int, max_records: int
) -> sqlite3.Cursor:
    return connection.execute(
        "SELECT id, timestamp_ms, key, value, headers FROM records "
        "WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (first_row(partition_id, offset), first_row(partition_id + 1), max_records),
    )


def _records(topic: str, partition: int, rows: sqlite3.Cursor) -> Iterator[Record]:
    for row_id, timestamp_ms, key, value, headers in rows:
        yield Record(
            topic,
            partition,
            row_id & _OFFSET_MASK,
            timestamp_ms,
            key,
            value,
            () if headers is None else decode_headers(headers),
        )
