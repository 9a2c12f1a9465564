"""The file system port: the operations that an archive needs."""

from collections.abc import Sequence
from typing import BinaryIO, Protocol

import attrs

__all__ = ["FileFacts", "FileSystem", "NewFile"]


@attrs.frozen(kw_only=True)
class FileFacts:
    """An entry of a folder's listing.

    Attributes:
        path: the absolute path, with ``/``, without the file system's address.
        is_folder: whether it is a folder and not a file.
        size_bytes: the size; 0 for a folder.
        modified_ms: the last change, milliseconds since the epoch by the file system's clock.
    """

    path: str
    is_folder: bool
    size_bytes: int
    modified_ms: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


class NewFile(Protocol):
    """A file that is being written. Used by one thread."""

    def write(self, data: bytes, /) -> int:
        """Write all of the data, and return its length in bytes.

        Raises:
            RetriableError, FatalError: see :class:`FileSystem`.
            FileNotFoundError: the file was removed meanwhile.
        """

    def flush(self) -> None:
        """Pass buffered data on to the file system. It does not make the data durable."""

    def seal(self) -> None:
        """Close the file. On return its bytes are as durable as the file system can make them.

        Raises:
            RetriableError, FatalError, FileNotFoundError: see :meth:`write`; the file cannot be
                used.
        """

    def close(self) -> None:
        """Abandon a file that is not needed any more; never raises, may be called again."""


class FileSystem(Protocol):
    """One file system. Used by one thread. Paths are absolute, with ``/``.

    All methods may raise RetriableError (the same call may succeed later; it is not known whether
    this one took effect) or FatalError (it will keep failing; the message says what to do).
    """

    @property
    def address(self) -> str:
        """The prefix of paths in messages: ``hdfs://host:port``, empty for this machine."""

    @property
    def notices_damage(self) -> bool:
        """Whether it keeps checksums, so that reading damaged bytes fails."""

    def list(self, folder: str) -> "Sequence[FileFacts]":
        """Return the entries of a folder, in any order; nothing if the folder does not exist."""

    def make_folder(self, folder: str) -> None:
        """Create a folder and its parents, unless it exists already."""

    def create(self, path: str) -> NewFile:
        """Create a file.

        Raises:
            FileExistsError: the path exists already.
        """

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; the result can seek.

        Raises:
            FileNotFoundError: the file does not exist.
        """

    def rename(self, old: str, new: str) -> None:
        """Rename a file atomically; on return the new name is durable.

        Raises:
            FileExistsError: the new name exists already; that file is not changed.
            FileNotFoundError: the old name does not exist.
        """

    def remove(self, path: str) -> None:
        """Remove a file, even while it is being written, unless it is removed already."""
