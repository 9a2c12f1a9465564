"""Reads the files of an archive: their lines, Parquet tables and values, checked for damage."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import IO, Any, BinaryIO, Final, cast

from mastostream.compression import DAMAGE, compressed
from mastostream.exceptions import DamagedError, RetriableError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive.lines import value_of
from mastostream.sinks.archive.listing import Listing
from mastostream.sinks.archive.naming import ArchiveFile

__all__ = [
    "CountingFile",
    "check_bytes",
    "open_file",
    "read_blocks",
    "read_tables",
    "split_lines",
    "values",
]

_BLOCK_BYTES: Final = 2**20


class CountingFile:
    """A binary file that counts the bytes that are read from it.

    Attributes:
        inner: the file that is read; the caller closes it.
        read_bytes: bytes read so far, at any position.
    """

    def __init__(self, inner: BinaryIO) -> None:
        self.inner = inner
        self.read_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes, and count them."""
        data = self.inner.read(size)
        self.read_bytes += len(data)
        return data


def open_file(filesystem: FileSystem, file: ArchiveFile) -> CountingFile:
    """Open a file of the archive to read it.

    Raises:
        RetriableError: the file is gone because compaction has merged it; list the archive again.
    """
    try:
        return CountingFile(filesystem.open(file.path))
    except FileNotFoundError as error:
        raise RetriableError(
            f"{filesystem.address}{file.path} is gone: the archive was compacted meanwhile; again"
        ) from error


def check_bytes(filesystem: FileSystem, listing: Listing, file: ArchiveFile) -> None:
    """Compare a file with the file of its checksum, if there is one.

    There is none where damage is noticed without it: gzip, zstd and HDFS keep their own checksums.

    Raises:
        DamagedError: the file's bytes have changed since it was written.
    """
    checksum_path = listing.checksum_of(file)
    if checksum_path is None:
        return
    expected = _read_checksum(filesystem, checksum_path)
    actual = hashlib.sha256()
    stream = open_file(filesystem, file)
    with closing(stream.inner):
        while block := stream.read(_BLOCK_BYTES):
            actual.update(block)
    if actual.hexdigest() != expected:
        raise DamagedError(f"{file.path} is damaged: its bytes are not those of its checksum")


def read_blocks(stream: CountingFile, file: ArchiveFile) -> Iterator[bytes]:
    """Return the decompressed bytes of a file of lines, in pieces of any length.

    Raises:
        DamagedError: the file is cut short or its bytes have changed; the pieces that came before
            are good.
    """
    decompressed = compressed(cast("IO[bytes]", stream), file.compression, "rb")
    try:
        while block := decompressed.read(_BLOCK_BYTES):
            yield block
    except DAMAGE as error:
        raise DamagedError(f"{file.path} is damaged: {error}") from error


def split_lines(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Return the lines of a file, without their line breaks.

    Args:
        pieces: the bytes of the file, cut anywhere.
        name: the file's name for messages.

    Raises:
        DamagedError: the last line has no line break.
    """
    rest = b""
    for piece in pieces:
        *complete, rest = (rest + piece).split(b"\n")
        yield from complete
    if rest:
        raise DamagedError(f"{name} is damaged: its last line has no end")


def values(filesystem: FileSystem, file: ArchiveFile) -> Iterator[tuple[bytes, int]]:
    """Return the value of each record unchanged, with the bytes of the file read so far.

    Raises:
        DamagedError: the file is cut short or its bytes have changed; the records that came before
            are good.
        RetriableError: not now, or the file is gone.
    """
    stream = open_file(filesystem, file)
    with closing(stream.inner):
        if file.format == "parquet":
            for table in read_tables(stream, file, ["raw"]):
                for value in table.column("raw"):
                    yield value.as_py(), stream.read_bytes
        else:
            for line in split_lines(read_blocks(stream, file), file.path):
                yield value_of(line), stream.read_bytes


def read_tables(
    stream: CountingFile, file: ArchiveFile, columns: list[str] | None = None
) -> Iterator[Any]:
    """Return the row groups of a Parquet file as tables. The checksum of each page is verified.

    Args:
        stream: the file, opened with :func:`open_file`.
        file: its name.
        columns: the columns to read; all by default.

    Raises:
        DamagedError: the file's bytes have changed since it was written.
        MissingExtraError: the extra for Parquet is not installed.
    """
    from mastostream.sinks.archive.parquet import (  # noqa: PLC0415 - pyarrow is an extra
        parquet_tables,
    )

    return parquet_tables(cast("BinaryIO", stream), file.path, columns)


def _read_checksum(filesystem: FileSystem, path: str) -> str:
    with closing(filesystem.open(path)) as stream:
        words = stream.read(1000).decode("ascii", "replace").split()
    if not words or len(words[0]) != 64:
        raise DamagedError(f"{path} holds no checksum: remove it")
    return words[0]
