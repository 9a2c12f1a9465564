"""The tables of the log. Any SQLite tool can read them; the view ``log`` is made for people.

A record's row id is ``partition id * 2**40 + offset``. So the records of a partition lie together
in the order of their offsets, and one number finds each record.
"""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mastostream.database import connect, transaction, translated
from mastostream.log.window_tables import SCHEMA as WINDOW_TABLES
from mastostream.ports.log import Header

__all__ = [
    "OFFSET_BITS",
    "decode_headers",
    "encode_headers",
    "first_row",
    "open_log",
    "partition_ids",
]

OFFSET_BITS: Final = 40
"""How many bits of a row id hold the offset; the higher bits hold the partition's row id."""

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL DEFAULT 0, -- older ones have been deleted
    next_offset INTEGER NOT NULL DEFAULT 0,  -- the next record gets this one
    size_bytes INTEGER NOT NULL DEFAULT 0,   -- of the values that are kept
    UNIQUE (topic, partition)
);
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY,                  -- partitions.id * 2^40 + offset
    timestamp_ms INTEGER NOT NULL,           -- when the log took it, since 1970
    key TEXT,
    value BLOB NOT NULL,
    headers TEXT                             -- JSON: [[name, its bytes in hexadecimal], ...]
);
CREATE TABLE IF NOT EXISTS offsets (
    reader TEXT NOT NULL,                    -- a group of readers
    partition_id INTEGER NOT NULL REFERENCES partitions (id),
    next_offset INTEGER NOT NULL,            -- all before it is done
    PRIMARY KEY (reader, partition_id)
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS log AS
    SELECT topic, partition, records.id & 1099511627775 AS offset,
           datetime(timestamp_ms / 1000, 'unixepoch') AS time, key,
           CAST(value AS TEXT) AS value, headers
    FROM records JOIN partitions ON partitions.id = records.id >> 40;
"""


def open_log(path: Path) -> sqlite3.Connection:
    """Open the file, and create the tables of the log if they are missing.

    Raises:
        DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect` says.
    """
    connection = connect(path, _SCHEMA + WINDOW_TABLES, _VERSION)
    try:
        with translated(path):
            _drop_closed_windows(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _drop_closed_windows(connection: sqlite3.Connection) -> None:
    """Drop the windows of a version that forgot the posts of a window once it had written it.

    Their analyses begin anew.
    """
    old = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'clocks'"
    if connection.execute(old).fetchone() is None:
        return
    with transaction(connection):
        if connection.execute(old).fetchone() is not None:
            connection.execute(
                "DELETE FROM offsets WHERE reader IN (SELECT 'analyze:' || analysis FROM clocks)"
            )
            connection.execute("DROP TABLE clocks")
            connection.execute("DROP TABLE windows")


def first_row(partition_id: int, offset: int = 0) -> int:
    """Return the row id of the record with this offset."""
    return (partition_id << OFFSET_BITS) + offset


def partition_ids(connection: sqlite3.Connection, topic: str) -> dict[int, int]:
    """Return the row id in table ``partitions`` of each of the topic's partitions, by number.

    The result is empty for a topic that does not exist yet.
    """
    rows = connection.execute("SELECT partition, id FROM partitions WHERE topic = ?", (topic,))
    return dict(rows.fetchall())


def encode_headers(headers: Iterable[Header]) -> str | None:
    """Return headers as JSON text; ``None`` for a record without headers."""
    pairs = [[name, value.hex()] for name, value in headers]
    return json.dumps(pairs) if pairs else None


def decode_headers(text: str | None) -> tuple[Header, ...]:
    """Return the headers that :func:`encode_headers` encoded."""
    if text is None:
        return ()
    return tuple((name, bytes.fromhex(value)) for name, value in json.loads(text))
