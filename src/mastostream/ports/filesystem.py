"""The little that an archive needs of a file system."""

from collections.abc import Sequence
from typing import BinaryIO, Protocol

import attrs

__all__ = ["FileFacts", "FileSystem", "NewFile"]


@attrs.frozen(kw_only=True)
class FileFacts:
    """What a listing says of one entry.

    Attributes:
        path: absolute, with ``/``, without the file system's own address.
        size_bytes: 0 of a folder.
        modified_ms: milliseconds since the epoch, by the file system's clock.
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
        """Write all of it.

        Raises:
            RetriableError, FatalError: as all of :class:`FileSystem`.
            FileNotFoundError: somebody has removed the file.
        """

    def flush(self) -> None:
        """Hand on what is buffered here; it promises nothing."""

    def seal(self) -> None:
        """Close the file. On return its bytes are as safe as the file system can make them.

        Raises:
            RetriableError, FatalError, FileNotFoundError: as :meth:`write`; the file is worthless.
        """

    def close(self) -> None:
        """Let go of a file that is not wanted any more; never raises, may be called again."""


class FileSystem(Protocol):
    """One file system. Used by one thread. Paths are absolute, with ``/``.

    All methods raise RetriableError (the same call may succeed later; whether this one took effect
    is not known) or FatalError (it will go on failing; the message says what to do).
    """

    @property
    def address(self) -> str:
        """What stands before a path in messages: ``hdfs://host:port``, empty for this machine."""

    @property
    def notices_damage(self) -> bool:
        """Whether reading fails where bytes are not what was written: it keeps checksums."""

    def list(self, folder: str) -> "Sequence[FileFacts]":
        """Return what is directly in a folder, in any order; nothing where there is no folder."""

    def make_folder(self, folder: str) -> None:
        """Make a folder and those above it; one that is there already is fine."""

    def create(self, path: str) -> NewFile:
        """Begin a file.

        Raises:
            FileExistsError: there is one of that name.
        """

    def open(self, path: str) -> BinaryIO:
        """Open a file to be read; it can seek.

        Raises:
            FileNotFoundError: there is none.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in one step, for all who look; on return the name is kept.

        Raises:
            FileExistsError: the new name is taken: the file that has it is left alone.
            FileNotFoundError: the old one is gone.
        """

    def remove(self, path: str) -> None:
        """Remove a file, also one that is being written; one that is gone already is fine."""
