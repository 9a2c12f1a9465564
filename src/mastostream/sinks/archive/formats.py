"""Writers of archive files: they turn records into JSON lines or Parquet."""

import hashlib
from contextlib import suppress
from typing import IO, Any, Final, Protocol, cast

from mastostream.compression import Compression, compressed
from mastostream.ports.filesystem import NewFile
from mastostream.ports.log import Record
from mastostream.sinks.archive.lines import line_of
from mastostream.sinks.archive.naming import Format

__all__ = ["AbandonableFile", "JsonLines", "RecordWriter", "record_writer"]


_PIECE_BYTES: Final = 2**18
"""Lines are collected up to this size and written together, because a call for each line would cost
more than the line itself."""


class AbandonableFile:
    """A new file that a compressor writes into, until :meth:`discard` cuts the connection.

    A compressor writes its last bytes when it is closed or garbage collected, even if the file was
    given up. After :meth:`discard` such bytes are dropped.
    """

    closed = False

    def __init__(self, file: NewFile, *, hashing: bool = False) -> None:
        self._file: NewFile | None = file
        self._position = 0
        self._hash = hashlib.sha256() if hashing else None

    def write(self, data: Any, /) -> int:
        """Write bytes, or another object that holds bytes, such as a buffer of pyarrow."""
        chunk = data if isinstance(data, bytes) else bytes(data)
        if self._file is not None:
            self._file.write(chunk)
        if self._hash is not None:
            self._hash.update(chunk)
        self._position += len(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Flush the file."""
        if self._file is not None:
            self._file.flush()

    def digest(self) -> str | None:
        """Return the SHA-256 of the written bytes in hexadecimal; ``None`` without ``hashing``."""
        return None if self._hash is None else self._hash.hexdigest()

    def discard(self) -> None:
        """Drop everything that is written from now on."""
        self._file = None

    def tell(self) -> int:
        """Return the number of bytes that were written."""
        return self._position

    def writable(self) -> bool:
        """Return True: the file is there to be written."""
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Do nothing: the one who created the file closes it."""


class RecordWriter(Protocol):
    """Writes records into one file. Its methods raise the errors of that file."""

    def add(self, record: Record) -> int:
        """Add a record; return its size in bytes before compression."""

    def finish(self) -> str | None:
        """Write the buffered records. The file stays open.

        Returns the SHA-256 of the file's bytes in hexadecimal, to be stored beside the file;
        ``None`` if the format or the file system keeps checksums of its own.
        """

    def give_up(self) -> None:
        """Drop the buffered records, because the file is not wanted any more. Never raises."""


def record_writer(
    form: Format, compression: Compression, file: NewFile, *, hashing: bool
) -> RecordWriter:
    """Return a writer of records into a file.

    Args:
        form: the format of the file.
        compression: the compression of the lines, or of Parquet's pages.
        file: the new file; the writer leaves it open.
        hashing: whether the file system does not notice damage, so that a checksum is needed.

    Raises:
        MissingExtraError: Parquet needs an extra that is not installed.
    """
    if form == "parquet":
        from mastostream.sinks.archive.parquet import (  # noqa: PLC0415 - pyarrow is an extra
            ParquetRecords,
        )

        return ParquetRecords(file, compression, hashing=hashing)
    return JsonLines(file, compression, hashing=hashing)


class JsonLines:
    """A :class:`RecordWriter` of JSON lines, one for each record.

    gzip and zstd keep a checksum of their content. Only a file of plain lines needs a checksum
    beside it.
    """

    def __init__(self, file: NewFile, compression: Compression, *, hashing: bool) -> None:
        self._output = AbandonableFile(file, hashing=hashing and compression == "none")
        self._stream = compressed(cast("IO[bytes]", self._output), compression, "wb")
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def add(self, record: Record) -> int:
        line = line_of(record.value)
        self._waiting.append(line)
        self._waiting_bytes += len(line) + 1
        if self._waiting_bytes >= _PIECE_BYTES:
            self._write()
        return len(line) + 1

    def add_lines(self, lines: bytes) -> None:
        """Add finished lines, each with its line break."""
        self._stream.write(lines)

    def finish(self) -> str | None:
        if self._waiting:
            self._write()
        self._stream.close()
        return self._output.digest()

    def give_up(self) -> None:
        self._output.discard()
        with suppress(Exception):  # after a failed write, closing may raise anything
            self._stream.close()

    def _write(self) -> None:
        self._waiting.append(b"")
        self._stream.write(b"\n".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
