"""The file system of this machine."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from fsspec.implementations.local import (  # type: ignore[import-untyped]  # it has no types
    LocalFileSystem,
)

from mastostream.exceptions import FatalError
from mastostream.ports.filesystem import FileFacts
from mastostream.sinks.archive.filesystems.errors import translated

__all__ = ["LocalFiles"]


class LocalFiles:
    """A :class:`ports.filesystem.FileSystem` of this machine's folders, on fsspec.

    ``seal`` makes a file's bytes durable on the disk (``fsync``); ``rename`` does so for its name.
    """

    address = ""
    notices_damage = False

    def __init__(self, link: Callable[[str, str], None] = os.link) -> None:
        """Create the file system. No file or folder is touched.

        Args:
            link: gives a file a second name; it must fail if another file has this name. Tests
                pass one that always fails.
        """
        self._link = link
        self._fs = LocalFileSystem(skip_instance_cache=True)

    def list(self, folder: str) -> Sequence[FileFacts]:
        with translated(folder):
            try:
                entries = self._fs.ls(folder, detail=True)
            except FileNotFoundError:
                return ()
        if not Path(folder).is_dir():
            raise FatalError(f"{folder} is no folder: move it away, or choose another one")
        return tuple(
            FileFacts(
                path=entry["name"],
                is_folder=entry["type"] == "directory",
                size_bytes=0 if entry["type"] == "directory" else entry["size"],
                modified_ms=int(entry["mtime"] * 1000),
            )
            for entry in entries
        )

    def make_folder(self, folder: str) -> None:
        with translated(folder):
            try:
                self._fs.makedirs(folder, exist_ok=True)
            except FileExistsError:
                raise FatalError(
                    f"{folder} is no folder: move it away, or choose another one"
                ) from None

    def create(self, path: str) -> "_NewFile":
        with translated(path):
            return _NewFile(self._fs.open(path, "xb"), path)

    def open(self, path: str) -> BinaryIO:
        with translated(path):
            return cast("BinaryIO", self._fs.open(path, "rb"))

    def rename(self, old: str, new: str) -> None:
        with translated(new):
            try:
                # A hard link is the only way that never replaces another file. A crash between the
                # two steps leaves both names; the old one is a temporary name.
                self._link(old, new)
            except (FileExistsError, FileNotFoundError):
                raise
            except OSError:  # the file system has no hard links
                if Path(new).exists():
                    raise FileExistsError(new) from None
                Path(old).rename(new)
            else:
                Path(old).unlink(missing_ok=True)
            _sync_folder(Path(new).parent)

    def remove(self, path: str) -> None:
        with translated(path), suppress(FileNotFoundError):
            self._fs.rm_file(path)


class _NewFile:
    """A :class:`ports.filesystem.NewFile` of this machine."""

    def __init__(self, inner: BinaryIO, path: str) -> None:
        self._inner = inner
        self._path = path

    def write(self, data: bytes, /) -> int:
        with translated(self._path):
            return self._inner.write(data)

    def flush(self) -> None:
        with translated(self._path):
            self._inner.flush()

    def seal(self) -> None:
        with translated(self._path):
            self._inner.flush()
            os.fsync(self._inner.fileno())
            self._inner.close()

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self._inner.close()


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, if the operating system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
