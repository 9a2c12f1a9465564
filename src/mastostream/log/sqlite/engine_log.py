"""The log for an engine, in SQLite: one transaction stores outputs, positions and window states."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from mastostream.core.windows import PartitionClock, WindowState
from mastostream.database import transaction, translated
from mastostream.log.sqlite.reader import committed, read_records, store_positions
from mastostream.log.sqlite.schema import open_log
from mastostream.log.sqlite.writer import append_records, wall_clock_ms
from mastostream.ports.log import Commit, Positions, Progress, Record

__all__ = ["SqliteEngineLog"]


class SqliteEngineLog:
    """A :class:`ports.log.EngineLog` on a file, used by one thread.

    Delivery is exactly once: a commit is stored as a whole or not at all, so a restart neither
    loses nor repeats an output. A commit writes only those windows that have changed.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str,
        partitions: int = 1,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """Open the file.

        Args:
            path: the log's file; created if it is missing.
            topic: the input topic.
            partitions: the number of partitions of an output topic that this engine creates.
            now_ms: returns the timestamp of an output, in milliseconds since the epoch.

        Raises:
            DamagedError, FatalError, RetriableError: as :func:`mastostream.database.connect` says.
        """
        self._path = path
        self._topic = topic
        self._partitions = partitions
        self._now_ms = now_ms
        self._connection = open_log(path)
        self._stored: dict[str, WindowState] = {}
        self._lost = 0

    @property
    def generation(self) -> int:
        return 0

    @property
    def lost(self) -> int:
        return self._lost

    def restore(self, analyses: Sequence[str]) -> Mapping[str, Progress]:
        progress = {}
        with translated(self._path):
            for analysis in analyses:
                positions = committed(self._connection, self._topic, _group(analysis))
                windows = _load_windows(self._connection, analysis)
                if windows is not None:
                    self._stored[analysis] = windows
                if positions or windows is not None:
                    progress[analysis] = Progress(positions=positions, windows=windows)
        return progress

    def read(self, positions: Positions, max_records: int, timeout_s: float) -> Sequence[Record]:
        with translated(self._path):
            records = read_records(self._connection, self._topic, positions, max_records, timeout_s)
        expected = dict(positions)
        for record in records:
            if not expected:
                break
            self._lost += record.offset - expected.pop(record.partition, record.offset)
        return records

    def commit(self, commit: Commit) -> None:
        with translated(self._path), transaction(self._connection):
            append_records(self._connection, commit.records, self._partitions, self._now_ms())
            for analysis, progress in commit.progress.items():
                store_positions(self._connection, self._topic, _group(analysis), progress.positions)
                if progress.windows is not None:
                    before = self._stored.get(analysis, WindowState())
                    _store_windows(self._connection, analysis, before, progress.windows)
        for analysis, progress in commit.progress.items():
            if progress.windows is not None:
                self._stored[analysis] = progress.windows

    def close(self) -> None:
        self._connection.close()


def _group(analysis: str) -> str:
    return f"analyze:{analysis}"


def _load_windows(connection: sqlite3.Connection, analysis: str) -> WindowState | None:
    row = connection.execute("SELECT clock FROM clocks WHERE analysis = ?", (analysis,)).fetchone()
    if row is None:
        return None
    watermark_ms, clocks = msgspec.json.decode(row[0])
    windows = connection.execute(
        "SELECT start_ms, posts FROM windows WHERE analysis = ? ORDER BY start_ms", (analysis,)
    )
    return WindowState(
        windows={start_ms: msgspec.json.decode(posts) for start_ms, posts in windows},
        partitions={
            partition: PartitionClock(max_event_ms=max_event_ms, active_ms=active_ms)
            for partition, max_event_ms, active_ms in clocks
        },
        watermark_ms=watermark_ms,
    )


def _store_windows(
    connection: sqlite3.Connection, analysis: str, before: WindowState, after: WindowState
) -> None:
    """Write the windows that have changed, and delete those that have closed."""
    changed = [
        (analysis, start_ms, msgspec.json.encode(posts))
        for start_ms, posts in after.windows.items()
        if before.windows.get(start_ms) is not posts
    ]
    closed = [(analysis, start_ms) for start_ms in before.windows if start_ms not in after.windows]
    connection.executemany("DELETE FROM windows WHERE analysis = ? AND start_ms = ?", closed)
    connection.executemany("INSERT OR REPLACE INTO windows VALUES (?, ?, ?)", changed)
    clocks = [
        (partition, clock.max_event_ms, clock.active_ms)
        for partition, clock in after.partitions.items()
    ]
    clock = msgspec.json.encode((after.watermark_ms, clocks)).decode()
    connection.execute("INSERT OR REPLACE INTO clocks VALUES (?, ?)", (analysis, clock))
