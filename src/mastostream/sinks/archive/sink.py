"""The archive's writer."""

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
from mastostream.sinks.archive.listing import Temporary, ends, list_archive, topic_place
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
"""A temporary file of this age is removed, whoever began it: it costs its writer time, no data."""

_logger = logging.getLogger(__name__)


@attrs.define
class _Open:
    """A file that is being written.

    Attributes:
        first: what its name will begin with: where the file before it ends.
        next: after the last record in it.
        day: of its records, in days since the epoch; ``None`` where days have no folders.
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
    """A :class:`ports.sink.ArchiveSink`: one topic, any number of writers.

    Exactly once: a restart reads the names of the finished files and goes on after them; what an
    unfinished file held is read from the log again. Of several writers that have the same records
    one finishes them (:mod:`publishing`), and the others go on after it.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the user's, by name
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
        """Look at nothing yet.

        Args:
            folder: absolute; the topic gets a folder in it.
            topic: whose records.
            clock: says how old a file is.
            filesystem: where the folder is; this machine's by default.
            form: of the files.
            compression: of lines, or of Parquet's pages.
            by_date: a folder for each day (UTC) on which the log took the records.
            rotate_bytes: a file is finished at this size, before compression,
            rotate_records: or at this many records; 0 for any number,
            rotate_s: or at this age.
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
        self._finished: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._known = False

    def reload(self) -> None:
        for partition in list(self._open):
            self._give_up(partition)
        self._kept.clear()
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
                self._take(record)
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
        return dict(self._kept)

    def close(self) -> None:
        try:
            self.flush(force=True)
        except (RetriableError, FatalError) as error:
            _logger.info("%s; what was not finished is read from the log again", error)
        finally:
            for partition in list(self._open):
                self._give_up(partition)

    def _read_back(self) -> None:
        """Learn from the names what is kept; files that are open here stay open."""
        listing = list_archive(self._place)
        mine = {file.temporary for file in self._open.values()}
        for each in listing.temporaries:
            if each.facts.path not in mine and self._is_stale(each):
                self._fs.remove(each.facts.path)
        self._finished = dict(ends(listing.files))
        self._known = True

    def _is_stale(self, temporary: Temporary) -> bool:
        age_ms = self._clock.now_ms() - temporary.facts.modified_ms
        return temporary.name.is_dead() or age_ms > max(STALE_MS, self._rotate_s * 2000)

    def _take(self, record: Record) -> None:
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
        self._finished[file.partition] = self._kept[file.partition] = file.next
        del self._open[file.partition]

    def _failed(self, partition: int, error: Exception) -> RetriableError | FatalError:
        """Give up the open file: its records will be read again, after what is really kept."""
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
    """Keep a file's checksum beside it, in the form that ``sha256sum -c`` reads.

    It comes first: a checksum without its file harms nobody, and one that was left by a file that
    never got its name is written anew.
    """
    path = f"{folder}/{checksum_name(name)}"
    filesystem.remove(path)
    file = filesystem.create(path)
    try:
        file.write(f"{checksum}  {name}\n".encode())
        file.seal()
    finally:
        file.close()
