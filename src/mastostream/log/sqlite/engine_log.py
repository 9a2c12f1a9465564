"""The log for an engine, in SQLite: one transaction stores outputs, positions and window states."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from mastostream.database import transaction, translated
from mastostream.log.sqlite.reader import committed, read_records, store_positions
from mastostream.log.sqlite.schema import open_log
from mastostream.log.sqlite.writer import append_records, wall_clock_ms
from mastostream.log.window_tables import WindowTables
from mastostream.ports.log import Commit, Positions, Progress, Record

__all__ = ["SqliteEngineLog"]


class SqliteEngineLog:
    """A :class:`ports.log.EngineLog` on a file, used by one thread.

    Delivery is exactly once: a commit is stored as a whole or not at all, so a restart neither
    loses nor repeats an output.
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
                if positions:
                    progress[analysis] = Progress(positions=positions)
        return progress

    def windows(self, analysis: str) -> WindowTables:
        return WindowTables(self._connection, analysis, partial(translated, self._path))

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
                    self.windows(analysis).change(progress.windows)

    def close(self) -> None:
        self._connection.close()


def _group(analysis: str) -> str:
    return f"analyze:{analysis}"
