"""An in-memory fake of an archive."""

from collections.abc import Mapping, Sequence

import attrs

from mastostream.exceptions import RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.log import Positions, Record
from mastostream.testing.fakes.clock import FakeClock
from mastostream.testing.fakes.failures import Failures

__all__ = ["FakeArchive", "FakeArchiveSink"]


@attrs.define
class _File:
    """A file that is being written.

    Attributes:
        first: the offset at which it begins.
        next: the offset after its last record.
        since_s: when it was opened, seconds of the clock's monotonic reading.
        records: its records, in order.
    """

    first: int
    next: int
    since_s: float
    records: list[Record] = attrs.field(factory=list)


class FakeArchive:
    """An archive of one topic. It is kept as long as this object; any number of sinks may write it.

    Attributes:
        ends: by partition, the offset after the last record of the finished files.
    """

    def __init__(
        self, *, rotate_records: int = 0, rotate_s: float = 60.0, clock: Clock | None = None
    ) -> None:
        """Make an empty archive.

        Args:
            rotate_records: the number of records at which a file is finished; 0 for no limit.
            rotate_s: the age at which ``flush`` finishes a file, seconds.
            clock: the clock that gives the age of files; a new :class:`FakeClock` by default.
        """
        self.rotate_records = rotate_records
        self.rotate_s = rotate_s
        self.clock = clock or FakeClock()
        self.ends: dict[int, int] = {}
        self._records: dict[int, list[Record]] = {}

    def sink(self) -> "FakeArchiveSink":
        """Return a new :class:`mastostream.ports.sink.ArchiveSink` that writes this archive."""
        return FakeArchiveSink(self)

    def kept(self) -> Mapping[int, Sequence[bytes]]:
        """Return the values in the finished files of each partition, in their order."""
        return {
            partition: [record.value for record in records]
            for partition, records in self._records.items()
        }

    def finish(self, partition: int, file: _File) -> None:
        """Add a finished file, if it begins where the last file of its partition ends.

        Raises:
            RetriableError: another sink has added a file to the partition meanwhile.
        """
        if self.ends.get(partition, file.first) != file.first:
            raise RetriableError(f"another sink has gone on with partition {partition}")
        self._records.setdefault(partition, []).extend(file.records)
        self.ends[partition] = file.next


class FakeArchiveSink:
    """A fake :class:`mastostream.ports.sink.ArchiveSink`.

    Attributes:
        failures: the failures of ``reload``, ``positions``, ``write`` and ``flush``. If
            ``write`` or ``flush`` fails, all open files are discarded: their records have to be
            written again.
        closed: whether the sink was closed.
    """

    def __init__(self, archive: FakeArchive) -> None:
        self.failures = Failures("reload", "positions", "write", "flush")
        self.closed = False
        self._archive = archive
        self._open: dict[int, _File] = {}
        self._finished: dict[int, int] = {}
        self._kept: dict[int, int] = {}

    def reload(self) -> None:
        self._give_up()
        with self.failures.around("reload"):
            self._kept = {}

    def positions(self) -> Positions:
        with self.failures.around("positions"):
            open_ends = {partition: file.next for partition, file in self._open.items()}
            return self._finished | open_ends

    def write(self, records: Sequence[Record]) -> None:
        try:
            with self.failures.around("write"):
                for record in records:
                    self._take(record)
        except BaseException:
            self._give_up()
            raise

    def flush(self, *, force: bool = False) -> Positions:
        now_s = self._archive.clock.monotonic_s()
        try:
            with self.failures.around("flush"):
                for partition, file in list(self._open.items()):
                    if force or now_s - file.since_s >= self._archive.rotate_s:
                        self._finish(partition)
        except BaseException:
            self._give_up()
            raise
        return dict(self._kept)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            try:
                self.flush(force=True)
            except RetriableError:
                self._give_up()

    def _take(self, record: Record) -> None:
        partition = record.partition
        file = self._open.get(partition)
        expected = self._finished.get(partition, record.offset) if file is None else file.next
        if record.offset < expected:
            return
        if file is None:
            file = _File(expected, expected, self._archive.clock.monotonic_s())
            self._open[partition] = file
        file.records.append(record)
        file.next = record.offset + 1
        if len(file.records) == self._archive.rotate_records:
            self._finish(partition)

    def _finish(self, partition: int) -> None:
        file = self._open[partition]
        self._archive.finish(partition, file)
        self._finished[partition] = self._kept[partition] = file.next
        del self._open[partition]

    def _give_up(self) -> None:
        """Discard the open files, and read again where the finished ones end."""
        self._open.clear()
        self._finished = dict(self._archive.ends)
