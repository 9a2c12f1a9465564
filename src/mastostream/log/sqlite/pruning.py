"""Deleting the oldest records, by age and by size."""

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
STEP: Final = 2_000
"""Records deleted in one transaction: a writer waits some milliseconds at most."""


@attrs.frozen(kw_only=True)
class Retention:
    """How much of each partition is kept: what exceeds either bound goes, oldest first.

    Attributes:
        age_s: seconds; ``None`` keeps records of any age.
        size_bytes: of a partition's values; ``None`` keeps any amount.
    """

    age_s: float | None = None
    size_bytes: int | None = None


def apply_retention(path: Path, retention: Retention, now_ms: int) -> int:
    """Delete what exceeds the bounds and return how many records went.

    A reader that has not come that far goes on at the oldest record that is left.

    Raises:
        RetriableError, FatalError, DamagedError: as for a writer; what was deleted stays deleted.
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
    """The oldest records that have to go: row id and size, one step's worth."""
    (kept_bytes,) = connection.execute(
        "SELECT size_bytes FROM partitions WHERE id = ?", (partition_id,)
    ).fetchone()
    oldest = connection.execute(
        "SELECT id, timestamp_ms, length(value) FROM records "
        "WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (first_row(partition_id), first_row(partition_id + 1), STEP),
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
    """Applies the retention once a minute. A :class:`ports.stage.Stage`."""

    def __init__(self, path: Path, retention: Retention, *, clock: Clock) -> None:
        self._path = path
        self._retention = retention
        self._clock = clock
        self._due_s = clock.monotonic_s()
        self._never = threading.Event()

    @property
    def name(self) -> str:
        """``retention``."""
        return "retention"

    def step(self, timeout_s: float) -> int:
        """Delete what is due; return how many records went."""
        if self._clock.monotonic_s() < self._due_s:
            self._clock.wait(self._never, timeout_s)
            return 0
        self._due_s = self._clock.monotonic_s() + EVERY_S
        return apply_retention(self._path, self._retention, self._clock.now_ms())

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is held."""
