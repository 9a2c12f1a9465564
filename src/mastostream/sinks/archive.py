"""The archive: raw records in files of JSON lines, named by topic, partition and offsets.

``Mastodon_stream+00000+00000000000000000000-00000000000000000999.jsonl.zst`` holds the offsets 0
to 999 of partition 0. A file is written under a temporary name (it begins with ``_``, which the
usual readers of such folders leave out), synced and renamed; a final file is never written again.

A line is the record's value as it was. A value that is no JSON on one line of UTF-8 becomes
``{"mastostream_archive": {"base64": ...}}``; :func:`read_lines` undoes that.
"""

import base64
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any, Final

import attrs
import fsspec  # type: ignore[import-untyped]  # it has no type information
import msgspec

from mastostream.compression import SUFFIXES, Compression, compressed
from mastostream.exceptions import DamagedError, FatalError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.log import Positions, Record

__all__ = ["ArchiveFile", "FileArchive", "line_of", "list_archive", "value_of"]

_NAME: Final = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]+)\+(?P<partition>\d{5})\+(?P<first>\d{20})-(?P<last>\d{20})"
    r"\.jsonl(?:\.gz|\.zst)?"
)
_TEMPORARY: Final = re.compile(r"_(?P<topic>[A-Za-z0-9._-]+)\+\d{5}\+\d{20}\.tmp")
_WRAPPED: Final = b'{"mastostream_archive":{"base64":"'
_RETRIABLE: Final = "the archive cannot write now ({}): check {} and the space left there"


@attrs.frozen(kw_only=True)
class ArchiveFile:
    """A finished file. Offsets are inclusive."""

    path: str
    partition: int
    first: int
    last: int


class _Wrapper(msgspec.Struct):
    base64: str


class _Line(msgspec.Struct):
    mastostream_archive: _Wrapper


def line_of(value: bytes) -> bytes:
    """Return the line that keeps this value, without its end."""
    if b"\n" not in value and b"\r" not in value and not value.startswith(_WRAPPED):
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            msgspec.json.decode(value, type=msgspec.Raw)
            value.decode()
            return value
    return _WRAPPED + base64.b64encode(value) + b'"}}'


def value_of(line: bytes) -> bytes:
    """Return the value that a line keeps."""
    if not line.startswith(_WRAPPED):
        return line
    with suppress(msgspec.MsgspecError, ValueError):
        wrapped = msgspec.json.decode(line, type=_Line)
        return base64.b64decode(wrapped.mastostream_archive.base64, validate=True)
    return line


def list_archive(filesystem: Any, folder: str, topic: str) -> list[ArchiveFile]:
    """Return the finished files of a topic, by partition and offset.

    Raises:
        DamagedError: two files hold the same offset, or an offset between two files is missing.
    """
    files = []
    for path in filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []:
        match = _NAME.fullmatch(os.path.basename(path))  # noqa: PTH119 - not always a local path
        if match and match["topic"] == topic:
            files.append(
                ArchiveFile(
                    path=path,
                    partition=int(match["partition"]),
                    first=int(match["first"]),
                    last=int(match["last"]),
                )
            )
    files.sort(key=lambda file: (file.partition, file.first))
    for left, right in pairwise(files):
        if left.partition == right.partition and left.last + 1 != right.first:
            what = "overlap" if right.first <= left.last else "have a gap between them"
            raise DamagedError(f"the archive files {left.path} and {right.path} {what}: move one")
    return files


@attrs.define
class _Open:
    """A file that is being written."""

    partition: int
    first: int
    next: int
    temporary: str
    raw: Any
    stream: Any
    since_s: float
    size_bytes: int = 0


class FileArchive:
    """A :class:`ports.sink.ArchiveSink` on any fsspec file system; one topic, one writer.

    Exactly once: a restart reads the names of the finished files and goes on after them; what an
    unfinished file held is read from the log again.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the user's, by name
        self,
        folder: str,
        topic: str,
        *,
        clock: Clock,
        compression: Compression = "zstd",
        rotate_bytes: int = 128 * 2**20,
        rotate_s: float = 60.0,
        filesystem: Any = None,
    ) -> None:
        """Read back what is there and remove what a killed writer left unfinished.

        Raises:
            DamagedError: the files that are there have a gap or an overlap.
            FatalError: the folder cannot be made or read.
        """
        self._fs = filesystem if filesystem is not None else fsspec.filesystem("file")
        self._folder = f"{folder.rstrip('/')}/{topic}"
        self._topic = topic
        self._clock = clock
        self._compression = compression
        self._rotate_bytes = rotate_bytes
        self._rotate_s = rotate_s
        self._open: dict[int, _Open] = {}
        try:
            self._fs.makedirs(self._folder, exist_ok=True)
            self._finished = {
                file.partition: file.last + 1
                for file in list_archive(self._fs, self._folder, topic)
            }
            for path in self._fs.ls(self._folder, detail=False):
                match = _TEMPORARY.fullmatch(os.path.basename(path))  # noqa: PTH119 - as above
                if match and match["topic"] == topic:
                    self._fs.rm(path)
        except OSError as error:
            raise FatalError(f"cannot use the archive folder {self._folder}: {error}") from error

    def positions(self) -> Positions:
        return self._finished | {file.partition: file.next for file in self._open.values()}

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            with self._guarded(record.partition):
                file = self._open.get(record.partition)
                expected = self._finished.get(record.partition) if file is None else file.next
                if expected is not None and record.offset < expected:
                    continue
                if expected is not None and record.offset > expected:
                    raise _lost(record, expected)
                if file is None:
                    file = self._begin(record)
                line = line_of(record.value) + b"\n"
                file.stream.write(line)
                file.next = record.offset + 1
                file.size_bytes += len(line)
                if file.size_bytes >= self._rotate_bytes:
                    self._finish(file)

    def flush(self, *, force: bool = False) -> None:
        now_s = self._clock.monotonic_s()
        for file in list(self._open.values()):
            if force or now_s - file.since_s >= self._rotate_s:
                with self._guarded(file.partition):
                    self._finish(file)

    def close(self) -> None:
        try:
            self.flush(force=True)
        except (RetriableError, FatalError):
            pass  # what was not finished is read from the log again
        finally:
            for partition in list(self._open):
                self._discard(partition)

    def _begin(self, record: Record) -> _Open:
        first = record.offset
        temporary = f"{self._folder}/_{self._topic}+{record.partition:05}+{first:020}.tmp"
        raw = self._fs.open(temporary, "wb")
        file = _Open(
            partition=record.partition,
            first=first,
            next=first,
            temporary=temporary,
            raw=raw,
            stream=compressed(raw, self._compression, "wb"),
            since_s=self._clock.monotonic_s(),
        )
        self._open[record.partition] = file
        return file

    def _finish(self, file: _Open) -> None:
        if file.next == file.first:
            self._discard(file.partition)
            return
        if file.stream is not file.raw:
            file.stream.close()
        file.raw.flush()
        with suppress(AttributeError, OSError):  # not every file system has files to sync
            os.fsync(file.raw.fileno())
        file.raw.close()
        name = (
            f"{self._topic}+{file.partition:05}+{file.first:020}-{file.next - 1:020}.jsonl"
            f"{SUFFIXES[self._compression]}"
        )
        target = f"{self._folder}/{name}"
        if self._fs.exists(target):
            raise FatalError(f"{target} is there already: another archiver writes this folder")
        self._fs.mv(file.temporary, target)
        self._finished[file.partition] = file.next
        del self._open[file.partition]

    @contextmanager
    def _guarded(self, partition: int) -> Iterator[None]:
        """Give up the open file on an error: its records will be read again."""
        try:
            yield
        except OSError as error:
            self._discard(partition)
            raise RetriableError(
                _RETRIABLE.format(error.strerror or error, self._folder)
            ) from error

    def _discard(self, partition: int) -> None:
        file = self._open.pop(partition, None)
        if file is None:
            return
        for part in (file.stream, file.raw):
            with suppress(OSError, ValueError):
                part.close()
        with suppress(OSError):
            self._fs.rm(file.temporary)


def _lost(record: Record, expected: int) -> FatalError:
    return FatalError(
        f"the log has no offsets {expected} to {record.offset - 1} of {record.topic} any more: "
        "its retention is shorter than the archive was behind; archive to another folder"
    )
