"""The archiver stage: copies the records of one topic into the archive, exactly once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mastostream.exceptions import FatalError
from mastostream.ports.log import LogReader, Positions, Record
from mastostream.ports.sink import ArchiveSink

__all__ = ["Archiver"]

_BATCH_RECORDS: Final = 1_000


def _accept_any(_: Positions) -> None:
    """Accept all positions: the default for ``check``."""


class Archiver:
    """Keeps every record of a topic in the archive. A :class:`ports.stage.Stage`.

    Delivery: exactly once. The names of the archive's files say at which offset to continue. The
    positions that the reader commits only show how far the archiver has come. When partitions move
    to or from another reader of the group, the archiver starts again from the file names.
    """

    def __init__(
        self,
        reader: LogReader,
        sink: ArchiveSink,
        *,
        check: Callable[[Positions], None] = _accept_any,
        batch_records: int = _BATCH_RECORDS,
    ) -> None:
        """Keep the arguments. The first :meth:`step` reads and writes.

        Args:
            reader: reads the topic; :meth:`close` closes it.
            sink: writes the archive; :meth:`close` closes it.
            check: called with the positions at which the archive ends, each time they are read
                back from it; raises FatalError if these positions are impossible.
            batch_records: the most records that one step reads and writes.
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
        # Per partition, the offset of the first record that was read. Reading starts there again
        # as long as the archive holds no file of the partition.
        self._first_offsets: dict[int, int] = {}

    @property
    def name(self) -> str:
        """The name of the stage: ``archive``."""
        return "archive"

    def step(self, timeout_s: float) -> int:
        """Archive one batch and return its number of records.

        The call after a RetriableError first goes back to the offset at which the archive ends.

        Raises:
            RetriableError: call again; nothing was lost.
            FatalError: the log deleted records before they were archived, or the archive cannot be
                used.
        """
        if self._must_reload or self._must_seek:
            self._go_back()
        records = self._read(timeout_s)
        while self._has_moved():
            self._go_back()
            records = self._read(timeout_s)
        if self._reader.lost > self._lost:
            raise _lost_error(self._reader.lost - self._lost)
        if records:
            self._sink.write(records)
        self._commit(self._sink.flush())
        self._must_seek = False
        self.archived += len(records)
        return len(records)

    def finish(self) -> None:
        """Finish the open files, so that every record that was read is durable.

        Raises:
            RetriableError, FatalError: a file or the commit could not be finished. After a restart
                the archiver continues where the archive's files end; nothing was lost.
        """
        self._commit(self._sink.flush(force=True))

    def close(self) -> None:
        """Close the sink and the reader."""
        self._sink.close()
        self._reader.close()

    def _read(self, timeout_s: float) -> Sequence[Record]:
        self._must_seek = True
        records = self._reader.read(self._batch_records, timeout_s)
        for record in records:
            self._first_offsets.setdefault(record.partition, record.offset)
        return records

    def _has_moved(self) -> bool:
        """Whether partitions have come or gone since the last call."""
        if self._reader.generation != self._generation:
            self._generation = self._reader.generation
            self._must_reload = True
            return True
        return False

    def _go_back(self) -> None:
        """Seek to the end of the archive, and read that end back from its files if need be."""
        self._reader.read(0, 0.0)  # keeps its place in the group: the archive may answer late
        self._has_moved()
        if self._must_reload:
            self._sink.reload()
            self._check(self._sink.positions())
            self._committed = {}
            self._must_reload = False
        self._reader.seek(self._first_offsets | dict(self._sink.positions()))
        self._lost = self._reader.lost
        self._must_seek = False

    def _commit(self, archived: Positions) -> None:
        if archived != self._committed:
            self._reader.commit(archived)
            self._committed = archived


def _lost_error(count: int) -> FatalError:
    return FatalError(
        f"the log has deleted {count} records before they came to the archive: its retention is "
        "shorter than the archive was behind; archive to another folder"
    )
