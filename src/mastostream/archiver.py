"""From a topic to the archive."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mastostream.exceptions import FatalError
from mastostream.ports.log import LogReader, Positions, Record
from mastostream.ports.sink import ArchiveSink

__all__ = ["Archiver"]

_BATCH_RECORDS: Final = 1_000


def _anything(_: Positions) -> None:
    """Find nothing wrong."""


class Archiver:
    """Keeps every record of a topic. A :class:`ports.stage.Stage`.

    Delivery: exactly once. The archive's own files say where to go on; the reader's committed
    position is for those who want to know how far it is. Where readers share the partitions, one
    that comes or goes makes this one start from the files again.
    """

    def __init__(
        self,
        reader: LogReader,
        sink: ArchiveSink,
        *,
        check: Callable[[Positions], None] = _anything,
        batch_records: int = _BATCH_RECORDS,
    ) -> None:
        """Read and write nothing yet.

        Args:
            reader: closed with the archiver.
            sink: closed with the archiver.
            check: looks at where the archive ends, whenever it was read back, and raises
                FatalError where that cannot be.
            batch_records: at most so many are read and written at once.
        """
        self.archived = 0
        self._reader = reader
        self._sink = sink
        self._check = check
        self._batch_records = batch_records
        self._generation = reader.generation
        self._lost = reader.lost
        self._must_reload = True
        self._must_seek = True
        self._committed: Mapping[int, int] = {}
        # Where the first read of each partition began: there it begins again as long as the
        # archive has nothing of it.
        self._firsts: dict[int, int] = {}

    @property
    def name(self) -> str:
        """``archive``."""
        return "archive"

    def step(self, timeout_s: float) -> int:
        """Archive one batch; after a RetriableError, go back to where the archive ends.

        Raises:
            RetriableError: call again; nothing was lost.
            FatalError: records were deleted before they came here, or the archive cannot be used.
        """
        if self._must_reload or self._must_seek:
            self._go_back()
        records = self._read(timeout_s)
        while self._has_moved():
            self._go_back()
            records = self._read(timeout_s)
        if self._reader.lost > self._lost:
            raise _lost(self._reader.lost - self._lost)
        if records:
            self._sink.write(records)
        self._commit(self._sink.flush())
        self._must_seek = False
        self.archived += len(records)
        return len(records)

    def finish(self) -> None:
        """Finish the open files, so that all that was read is kept."""
        self._commit(self._sink.flush(force=True))

    def close(self) -> None:
        """Close sink and reader."""
        self._sink.close()
        self._reader.close()

    def _read(self, timeout_s: float) -> Sequence[Record]:
        self._must_seek = True
        records = self._reader.read(self._batch_records, timeout_s)
        for record in records:
            self._firsts.setdefault(record.partition, record.offset)
        return records

    def _has_moved(self) -> bool:
        """Whether partitions have come or gone since this was asked."""
        if self._reader.generation != self._generation:
            self._generation = self._reader.generation
            self._must_reload = True
            return True
        return False

    def _go_back(self) -> None:
        self._reader.read(0, 0.0)  # it may be long until the archive answers
        self._has_moved()
        if self._must_reload:
            self._sink.reload()
            self._check(self._sink.positions())
            self._committed = {}
            self._must_reload = False
        self._reader.seek(self._firsts | dict(self._sink.positions()))
        self._lost = self._reader.lost
        self._must_seek = False

    def _commit(self, kept: Positions) -> None:
        if kept != self._committed:
            self._reader.commit(kept)
            self._committed = kept


def _lost(count: int) -> FatalError:
    return FatalError(
        f"the log has deleted {count} records before they came to the archive: its retention is "
        "shorter than the archive was behind; archive to another folder"
    )
