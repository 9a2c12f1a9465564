"""A file system that fails when it is told to."""

from collections.abc import Callable, Sequence
from typing import BinaryIO

from mastostream.ports.filesystem import FileFacts, FileSystem, NewFile
from mastostream.sinks.archive import LocalFiles

__all__ = ["Faulty"]

Watch = Callable[[str, str], None]
"""Called with ``before`` or ``after``, and what is done; may raise."""


class Faulty:
    """Folders of this machine, with a say before and after each step that changes something."""

    address = ""
    notices_damage = False

    def __init__(self, watch: Watch) -> None:
        self._inner: FileSystem = LocalFiles()
        self._watch = watch

    def list(self, folder: str) -> Sequence[FileFacts]:
        self._watch("before", "list")
        return self._inner.list(folder)

    def make_folder(self, folder: str) -> None:
        self._watch("before", "make_folder")
        self._inner.make_folder(folder)

    def create(self, path: str) -> NewFile:
        self._watch("before", "create")
        file = _Watched(self._inner.create(path), self._watch)
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


class _Watched:
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
