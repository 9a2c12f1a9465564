"""What an archive's files hold."""

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

__all__ = ["Counted", "blocks", "check_bytes", "lines", "opened", "tables", "values"]

_BLOCK: Final = 2**20


class Counted:
    """A file that says how far it has been read, as a reader of any kind expects one."""

    def __init__(self, inner: BinaryIO) -> None:
        self.inner = inner
        self.read_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, size: int = -1, /) -> bytes:
        """Read, and count."""
        data = self.inner.read(size)
        self.read_bytes += len(data)
        return data


def opened(filesystem: FileSystem, file: ArchiveFile) -> Counted:
    """Open a file.

    Raises:
        RetriableError: it is gone: compaction has merged it, and a new listing shows how.
    """
    try:
        return Counted(filesystem.open(file.path))
    except FileNotFoundError as error:
        raise RetriableError(
            f"{filesystem.address}{file.path} is gone: the archive was compacted meanwhile; again"
        ) from error


def check_bytes(filesystem: FileSystem, listing: Listing, file: ArchiveFile) -> None:
    """Compare a file with the checksum beside it, where there is one.

    gzip and zstd have checksums of their own, and so has HDFS: the others get one.

    Raises:
        DamagedError: the file is not what it was.
    """
    beside = listing.checksum_of(file)
    if beside is None:
        return
    expected = _read_checksum(filesystem, beside)
    found = hashlib.sha256()
    counted = opened(filesystem, file)
    with closing(counted.inner):
        while block := counted.read(_BLOCK):
            found.update(block)
    if found.hexdigest() != expected:
        raise DamagedError(f"{file.path} is damaged: its bytes are not those of its checksum")


def blocks(counted: Counted, file: ArchiveFile) -> Iterator[bytes]:
    """Return the bytes of a file's lines, in pieces of any length.

    Raises:
        DamagedError: the file is cut short, or not what it was; all pieces before it were.
    """
    stream = compressed(cast("IO[bytes]", counted), file.compression, "rb")
    try:
        while block := stream.read(_BLOCK):
            yield block
    except DAMAGE as error:
        raise DamagedError(f"{file.path} is damaged: {error}") from error


def lines(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Return the lines without their ends.

    Raises:
        DamagedError: the last line has no end.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        raise DamagedError(f"{name} is damaged: its last line has no end")


def values(filesystem: FileSystem, file: ArchiveFile) -> Iterator[tuple[bytes, int]]:
    """Return each record's value as it was, with how many bytes of the file have been read so far.

    Raises:
        DamagedError: the file is cut short, or not what it was; all records before it were.
        RetriableError: not now, or the file is gone.
    """
    counted = opened(filesystem, file)
    with closing(counted.inner):
        if file.format == "parquet":
            for table in tables(counted, file, ["raw"]):
                for value in table.column("raw"):
                    yield value.as_py(), counted.read_bytes
        else:
            for line in lines(blocks(counted, file), file.path):
                yield value_of(line), counted.read_bytes


def tables(counted: Counted, file: ArchiveFile, columns: list[str] | None = None) -> Iterator[Any]:
    """Return a Parquet file's row groups, each page checked.

    Raises:
        DamagedError: the file is not what it was.
        MissingExtraError: the extra is not installed.
    """
    from mastostream.sinks.archive.parquet import (  # noqa: PLC0415 - needs an extra
        parquet_tables,
    )

    return parquet_tables(cast("BinaryIO", counted), file.path, columns)


def _read_checksum(filesystem: FileSystem, path: str) -> str:
    with closing(filesystem.open(path)) as stream:
        text = stream.read(1000).decode("ascii", "replace").split()
    if not text or len(text[0]) != 64:
        raise DamagedError(f"{path} holds no checksum: remove it")
    return text[0]
