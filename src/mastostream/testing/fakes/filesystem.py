"""A file system wrapper that lets a test act, or fail, at any step."""

from collections.abc import Callable, Sequence
from typing import BinaryIO, Literal

from mastostream.ports.filesystem import FileFacts, FileSystem, NewFile

__all__ = ["WatchedFiles"]

Step = Literal["list", "make_folder", "create", "write", "seal", "rename", "remove"]

Watch = Callable[[Literal["before", "after"], Step], None]
"""Callback for the steps of a :class:`WatchedFiles`: it gets the moment and the name of the step.

It is called before each step, and also after ``create``, ``seal``, ``rename`` and ``remove``.
It may raise an error, or let another process act."""


class WatchedFiles:
    """A :class:`mastostream.ports.filesystem.FileSystem` that passes calls on to another one."""

    def __init__(self, inner: FileSystem, watch: Watch) -> None:
        """Wrap a file system.

        Args:
            inner: the file system that does the work.
            watch: called at each step.
        """
        self.address = inner.address
        self.notices_damage = inner.notices_damage
        self._inner = inner
        self._watch = watch

    def list(self, folder: str) -> "Sequence[FileFacts]":
        self._watch("before", "list")
        return self._inner.list(folder)

    def make_folder(self, folder: str) -> None:
        self._watch("before", "make_folder")
        self._inner.make_folder(folder)

    def create(self, path: str) -> NewFile:
        self._watch("before", "create")
        file = _WatchedFile(self._inner.create(path), self._watch)
        self._watch("after", "create")
        return file

    def open(self, path: str) -> BinaryIO:
        return self._inner.open(path)

    def rename(self, old: str, new: str) -> None:
        self._watch("before", "rename")
        self._inner.rename(old, new)
        self._watch("after", "rename")

    def remove(self, path: str) -> None:
        self._watch("before", "remove")
        self._inner.remove(path)
        self._watch("after", "remove")


class _WatchedFile:
    """A :class:`mastostream.ports.filesystem.NewFile` that passes each call on to another one."""

    def __init__(self, inner: NewFile, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    def write(self, data: bytes, /) -> int:
        self._watch("before", "write")
        return self._inner.write(data)

    def flush(self) -> None:
        self._inner.flush()

    def seal(self) -> None:
        self._watch("before", "seal")
        self._inner.seal()
        self._watch("after", "seal")

    def close(self) -> None:
        self._inner.close()
