"""How records become a file's bytes."""

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
"""Lines are written so much at a time: a call for each would cost more than the line."""


class AbandonableFile:
    """A new file, until it is given up: what is written then goes nowhere.

    Compressors write their end when they are forgotten, whether or not anybody wants it.
    """

    closed = False

    def __init__(self, file: NewFile, *, hashing: bool = False) -> None:
        self._file: NewFile | None = file
        self._at = 0
        self._hash = hashlib.sha256() if hashing else None

    def write(self, data: Any, /) -> int:
        """Write bytes, or whatever else has some."""
        taken = data if isinstance(data, bytes) else bytes(data)
        if self._file is not None:
            self._file.write(taken)
        if self._hash is not None:
            self._hash.update(taken)
        self._at += len(taken)
        return len(taken)

    def flush(self) -> None:
        """Hand on."""
        if self._file is not None:
            self._file.flush()

    def digest(self) -> str | None:
        """Return the SHA-256 of all that was written, in hexadecimal, if it was asked for."""
        return None if self._hash is None else self._hash.hexdigest()

    def shut(self) -> None:
        """Let nothing through any more."""
        self._file = None

    def tell(self) -> int:
        """Return how much was written."""
        return self._at

    def writable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Leave that to whoever made the file."""


class RecordWriter(Protocol):
    """Writes records into one file. Errors are those of the file."""

    def add(self, record: Record) -> int:
        """Take a record; return how many bytes it is, before compression."""

    def finish(self) -> str | None:
        """Write what is left. The file stays open.

        Returns the SHA-256 of the file's bytes, in hexadecimal, where nothing else would notice
        that they have changed.
        """

    def give_up(self) -> None:
        """Forget what is left: the file is not wanted any more. Never raises."""


def record_writer(
    form: Format, compression: Compression, file: NewFile, *, hashing: bool
) -> RecordWriter:
    """Return what writes records into a file.

    Args:
        form: of the file.
        compression: of lines, or of pages.
        file: left open.
        hashing: whether nobody else would notice that the file's bytes have changed.

    Raises:
        MissingExtraError: Parquet needs an extra that is not installed.
    """
    if form == "parquet":
        from mastostream.sinks.archive.parquet import (  # noqa: PLC0415 - needs an extra
            ParquetRecords,
        )

        return ParquetRecords(file, compression, hashing=hashing)
    return JsonLines(file, compression, hashing=hashing)


class JsonLines:
    """A :class:`RecordWriter`: a line a record.

    gzip and zstd keep a checksum of what they hold; plain lines get one beside them.
    """

    def __init__(self, file: NewFile, compression: Compression, *, hashing: bool) -> None:
        self._gate = AbandonableFile(file, hashing=hashing and compression == "none")
        self._stream = compressed(cast("IO[bytes]", self._gate), compression, "wb")
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
        """Take lines that are made already, each with its end."""
        self._stream.write(lines)

    def finish(self) -> str | None:
        if self._waiting:
            self._write()
        self._stream.close()
        return self._gate.digest()

    def give_up(self) -> None:
        self._gate.shut()
        with suppress(Exception):  # whatever the write that failed has left
            self._stream.close()

    def _write(self) -> None:
        self._waiting.append(b"")
        self._stream.write(b"\n".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
