"""The archive sink: writes the records of one topic into files, exactly once."""

import logging
from collections.abc import Sequence
from typing import Final

import attrs

from mastostream.compression import Compression
from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.filesystem import FileSystem, NewFile
from mastostream.ports.log import Positions, Record
from mastostream.sinks.archive.filesystems.local import LocalFiles
from mastostream.sinks.archive.formats import RecordWriter, record_writer
from mastostream.sinks.archive.listing import Temporary, end_offsets, list_archive, topic_place
from mastostream.sinks.archive.naming import (
    DAY_MS,
    Format,
    checksum_name,
    day_folder,
    file_name,
    new_writer_name,
    suffix_of,
)
from mastostream.sinks.archive.publishing import abandon, publish

__all__ = ["STALE_MS", "FileArchive"]

STALE_MS: Final = 3_600_000
"""A temporary file of this age is removed, even if its writer still runs. The writer then loses
time, but no data: it reads the records again."""

_logger = logging.getLogger(__name__)


@attrs.define
class _Open:
    """A file that this sink is writing.

    Attributes:
        partition: the partition of its records.
        first: the first offset of its future name: the one after the file before it.
        next: the offset after its last record.
        day: the day of its records, in days since the epoch; ``None`` if days have no folders.
        temporary: its path while it is written.
        file: the file itself.
        writer: writes the records into the file.
        since_s: when it was created, by the monotonic clock.
        size_bytes: size of its records before compression.
        records: number of its records.
    """

    partition: int
    first: int
    next: int
    day: int | None
    temporary: str
    file: NewFile
    writer: RecordWriter
    since_s: float
    size_bytes: int = 0
    records: int = 0


class FileArchive:
    """A :class:`ports.sink.ArchiveSink` for one topic, with any number of writers.

    Delivery: exactly once. After a restart the sink reads the names of the finished files and
    continues after them; the records of unfinished files are read from the log again. If several
    writers have the same records, one of them publishes its file (:mod:`publishing`), and the
    others continue after it. :meth:`write` ignores records that it has already taken.
    """

    def __init__(  # noqa: PLR0913 - independent settings of the user, passed by name
        self,
        folder: str,
        topic: str,
        *,
        clock: Clock,
        filesystem: FileSystem | None = None,
        form: Format = "jsonl",
        compression: Compression = "zstd",
        by_date: bool = False,
        rotate_bytes: int = 128 * 2**20,
        rotate_records: int = 0,
        rotate_s: float = 60.0,
    ) -> None:
        """Keep the arguments. The file system is first used by :meth:`reload`.

        Args:
            folder: the absolute path of the archive; the topic gets a folder in it.
            topic: the topic to archive.
            clock: tells the age of files.
            filesystem: the file system of the folder; by default that of this machine.
            form: the format of the files.
            compression: the compression of the lines, or of Parquet's pages.
            by_date: whether each day (UTC) on which the log took records gets its own folder.
            rotate_bytes: a file is finished once it has this size in bytes, before compression.
            rotate_records: a file is finished once it has this many records; 0 for no such limit.
            rotate_s: a file is finished at the next :meth:`flush` once it is this old, in seconds.

        Raises:
            ConfigurationError: the topic's name begins with ``_`` or ``.``.
        """
        self._fs = filesystem if filesystem is not None else LocalFiles()
        self._place = topic_place(self._fs, folder, topic)
        self._root = self._place.root
        self._topic = topic
        self._clock = clock
        self._form = form
        self._compression = compression
        self._by_date = by_date
        self._rotate_bytes = rotate_bytes
        self._rotate_records = rotate_records
        self._rotate_s = rotate_s
        self._open: dict[int, _Open] = {}
        # Partition to the offset after its last finished file, of any writer.
        self._finished: dict[int, int] = {}
        # The same, but only of the files that this sink has finished since the last reload.
        self._flushed: dict[int, int] = {}
        self._known = False  # whether _finished is up to date

    def reload(self) -> None:
        for partition in list(self._open):
            self._give_up(partition)
        self._flushed.clear()
        self._known = False
        self._fs.make_folder(self._root)
        self._read_back()

    def positions(self) -> Positions:
        if not self._known:
            self._read_back()
        return self._finished | {file.partition: file.next for file in self._open.values()}

    def write(self, records: Sequence[Record]) -> None:
        if not self._known:
            self._read_back()
        partition = -1
        try:
            for record in records:
                partition = record.partition
                self._add(record)
        except (RetriableError, FatalError, OSError) as error:
            raise self._failed(partition, error) from error

    def flush(self, *, force: bool = False) -> Positions:
        now_s = self._clock.monotonic_s()
        for file in list(self._open.values()):
            if force or now_s - file.since_s >= self._rotate_s:
                try:
                    self._finish(file)
                except (RetriableError, FatalError, OSError) as error:
                    raise self._failed(file.partition, error) from error
        return dict(self._flushed)

    def close(self) -> None:
        try:
            self.flush(force=True)
        except (RetriableError, FatalError) as error:
            _logger.info("%s; what was not finished is read from the log again", error)
        finally:
            for partition in list(self._open):
                self._give_up(partition)

    def _read_back(self) -> None:
        """Read the end of each partition from the names of the files, and remove stale files.

        The open files of this sink stay open.
        """
        listing = list_archive(self._place)
        own_paths = {file.temporary for file in self._open.values()}
        for temporary in listing.temporaries:
            if temporary.facts.path not in own_paths and self._is_stale(temporary):
                self._fs.remove(temporary.facts.path)
        self._finished = dict(end_offsets(listing.files))
        self._known = True

    def _is_stale(self, temporary: Temporary) -> bool:
        age_ms = self._clock.now_ms() - temporary.facts.modified_ms
        return temporary.name.is_dead() or age_ms > max(STALE_MS, self._rotate_s * 2000)

    def _add(self, record: Record) -> None:
        """Add a record to the open file of its partition; finish full files and begin new ones."""
        file = self._open.get(record.partition)
        expected = self._finished.get(record.partition) if file is None else file.next
        if expected is not None and record.offset < expected:
            return
        day = record.timestamp_ms // DAY_MS if self._by_date else None
        if file is not None and file.day != day:
            self._finish(file)
            file = None
        if file is None:
            file = self._begin(record, record.offset if expected is None else expected, day)
        file.size_bytes += file.writer.add(record)
        file.records += 1
        file.next = record.offset + 1
        if file.size_bytes >= self._rotate_bytes or file.records == self._rotate_records:
            self._finish(file)

    def _begin(self, record: Record, first: int, day: int | None) -> _Open:
        """Create the file for a record; ``first`` is the first offset of its name."""
        name = new_writer_name(self._topic, record.partition, first)
        temporary = f"{self._root}/{name}"
        raw = self._fs.create(temporary)
        try:
            hashing = not self._fs.notices_damage
            writer = record_writer(self._form, self._compression, raw, hashing=hashing)
        except BaseException:
            abandon(self._fs, raw, temporary)
            raise
        file = _Open(
            partition=record.partition,
            first=first,
            next=first,
            day=day,
            temporary=temporary,
            file=raw,
            writer=writer,
            since_s=self._clock.monotonic_s(),
        )
        self._open[record.partition] = file
        return file

    def _finish(self, file: _Open) -> None:
        """Make a file durable, store its checksum if it needs one, and publish it."""
        checksum = file.writer.finish()
        file.file.seal()
        folder = self._root
        if file.day is not None:
            folder = f"{self._root}/{day_folder(file.day)}"
            self._fs.make_folder(folder)
        suffix = suffix_of(self._form, self._compression)
        name = file_name(self._topic, file.partition, file.first, file.next - 1, suffix)
        if checksum is not None:
            write_checksum(self._fs, folder, name, checksum)
        publish(self._place, file.temporary, f"{folder}/{name}")
        self._finished[file.partition] = self._flushed[file.partition] = file.next
        del self._open[file.partition]

    def _failed(self, partition: int, error: Exception) -> RetriableError | FatalError:
        """Give up the open file of a partition; return the error to raise.

        The file's records will be read again, from the real end of the partition.
        """
        self._give_up(partition)
        self._known = False
        if isinstance(error, (RetriableError, FatalError)):
            return error
        return RetriableError(
            f"a file of the archive in {self._fs.address}{self._root} was taken away while it was "
            f"written ({error}): its records are read again"
        )

    def _give_up(self, partition: int) -> None:
        file = self._open.pop(partition, None)
        if file is not None:
            file.writer.give_up()
            abandon(self._fs, file.file, file.temporary)


def write_checksum(filesystem: FileSystem, folder: str, name: str, checksum: str) -> None:
    """Write the checksum of a file into a file beside it, in the format of ``sha256sum -c``.

    It is written before its file is published. A checksum without a file does no harm. One that is
    left from a file that was never published is replaced.
    """
    path = f"{folder}/{checksum_name(name)}"
    filesystem.remove(path)
    file = filesystem.create(path)
    try:
        file.write(f"{checksum}  {name}\n".encode())
        file.seal()
    finally:
        file.close()
