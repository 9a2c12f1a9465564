"""Deletes the oldest records of the log in SQLite, by age and by size."""

import sqlite3
import threading
from pathlib import Path
from typing import Final

import attrs

from mastostream.database import transaction, translated
from mastostream.log.sqlite.schema import OFFSET_BITS, first_row, open_log
from mastostream.ports.clock import Clock

__all__ = ["Retention", "RetentionStage", "apply_retention"]

EVERY_S: Final = 60.0
"""Seconds between two runs of the stage."""

STEP_RECORDS: Final = 2_000
"""The most records that one transaction deletes. So a writer waits for some milliseconds only."""


@attrs.frozen(kw_only=True)
class Retention:
    """How much of each partition is kept. Records beyond either bound are deleted, oldest first.

    Attributes:
        age_s: the highest age of a record, in seconds; ``None`` keeps records of any age.
        size_bytes: the largest size of the values of one partition, in bytes; ``None`` keeps values
            of any size.
    """

    age_s: float | None = None
    size_bytes: int | None = None


def apply_retention(path: Path, retention: Retention, now_ms: int) -> int:
    """Delete the records that exceed the bounds; return how many were deleted.

    A reader that has not read the deleted records yet continues at the oldest record that is left.

    Args:
        path: the log's file.
        retention: the bounds.
        now_ms: the time now, in milliseconds since the epoch.

    Raises:
        DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect` says.
            Records that were deleted before the error stay deleted.
    """
    connection = open_log(path)
    deleted = 0
    try:
        with translated(path):
            ids = [row[0] for row in connection.execute("SELECT id FROM partitions").fetchall()]
            for partition_id in ids:
                while count := _delete_step(connection, partition_id, retention, now_ms):
                    deleted += count
    finally:
        connection.close()
    return deleted


def _delete_step(
    connection: sqlite3.Connection, partition_id: int, retention: Retention, now_ms: int
) -> int:
    with transaction(connection):
        excess = _excess(connection, partition_id, retention, now_ms)
        if not excess:
            return 0
        last = excess[-1][0]
        connection.execute(
            "DELETE FROM records WHERE id >= ? AND id <= ?", (first_row(partition_id), last)
        )
        connection.execute(
            "UPDATE partitions SET first_offset = ?, size_bytes = size_bytes - ? WHERE id = ?",
            (
                (last & ((1 << OFFSET_BITS) - 1)) + 1,
                sum(size_bytes for _, size_bytes in excess),
                partition_id,
            ),
        )
        return len(excess)


def _excess(
    connection: sqlite3.Connection, partition_id: int, retention: Retention, now_ms: int
) -> list[tuple[int, int]]:
    """Return row id and size of the oldest records beyond the bounds, at most ``STEP_RECORDS``."""
    (kept_bytes,) = connection.execute(
        "SELECT size_bytes FROM partitions WHERE id = ?", (partition_id,)
    ).fetchone()
    oldest = connection.execute(
        "SELECT id, timestamp_ms, length(value) FROM records "
        "WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (first_row(partition_id), first_row(partition_id + 1), STEP_RECORDS),
    )
    excess = []
    for row, timestamp_ms, size_bytes in oldest:
        too_old = retention.age_s is not None and timestamp_ms < now_ms - retention.age_s * 1000
        too_big = retention.size_bytes is not None and kept_bytes > retention.size_bytes
        if not (too_old or too_big):
            break
        kept_bytes -= size_bytes
        excess.append((row, size_bytes))
    return excess


class RetentionStage:
    """A :class:`ports.stage.Stage` that applies the retention once a minute."""

    def __init__(self, path: Path, retention: Retention, *, clock: Clock) -> None:
        self._path = path
        self._retention = retention
        self._clock = clock
        self._due_s = clock.monotonic_s()
        self._never = threading.Event()

    @property
    def name(self) -> str:
        """The stage's name: ``retention``."""
        return "retention"

    def step(self, timeout_s: float) -> int:
        """Apply the retention once it is due; return how many records were deleted."""
        if self._clock.monotonic_s() < self._due_s:
            self._clock.wait(self._never, timeout_s)
            return 0
        self._due_s = self._clock.monotonic_s() + EVERY_S
        return apply_retention(self._path, self._retention, self._clock.now_ms())

    def finish(self) -> None:
        """Do nothing: the stage has nothing to store."""

    def close(self) -> None:
        """Do nothing: the stage holds no resources."""
