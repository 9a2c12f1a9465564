"""HDFS without Java, through hdfs-native."""

import io
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from mastostream.exceptions import MissingExtraError
from mastostream.ports.filesystem import FileFacts
from mastostream.sinks.archive.filesystems.errors import translated_hdfs

__all__ = ["NativeHdfs"]

_DEFAULTS: Final = {
    # Its own patience is minutes. Ours is longer, and keeps the reader's place meanwhile.
    "dfs.client.failover.max.attempts": "4",
    "dfs.client.failover.sleep.base.millis": "200",
    "dfs.client.failover.sleep.max.millis": "1000",
}

_PATIENCE_S: Final = 90.0
"""Longer than it waits itself for a DataNode that is silent: 60 s."""


class NativeHdfs:
    """A :class:`ports.filesystem.FileSystem` on hdfs-native's own class for fsspec.

    ``seal`` asks the DataNodes to write through to their disks (``hsync``) and tells the NameNode
    that the file is complete.
    """

    notices_damage = True

    def __init__(
        self,
        host: str,
        port: int | None,
        *,
        user: str = "",
        settings: Mapping[str, str] | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Connect at the first call.

        Args:
            host: of the NameNode, or a name service of the settings.
            port: ``None`` for a name service.
            user: whose files are written; empty for the user of this process. Hadoop's clients
                take it from ``HADOOP_USER_NAME``, which is set for this process.
            settings: of Hadoop's client, by its own names; those in ``HADOOP_CONF_DIR`` hold too.
            patience_s: how long ``seal`` waits for a DataNode's confirmation.

        Raises:
            MissingExtraError: the extra ``hdfs`` is not installed.
            FatalError: a setting that is wrong.
        """
        try:
            from hdfs_native.fsspec import HdfsFileSystem  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtraError("HDFS", "hdfs") from error
        self.address = f"hdfs://{host}:{port}" if port else f"hdfs://{host}"
        self._patience_s = patience_s
        if user:
            os.environ["HADOOP_USER_NAME"] = user
        with translated_hdfs(self.address):
            self._fs: Any = HdfsFileSystem(
                host, port, skip_instance_cache=True, **(_DEFAULTS | dict(settings or {}))
            )

    def list(self, folder: str) -> Sequence[FileFacts]:
        with translated_hdfs(self.address + folder), suppress(FileNotFoundError):
            return tuple(
                FileFacts(
                    path=entry["name"],
                    is_folder=entry["type"] == "directory",
                    size_bytes=entry["size"],
                    modified_ms=entry["modification_time"],
                )
                for entry in self._fs.ls(folder, detail=True)
            )
        return ()

    def make_folder(self, folder: str) -> None:
        with translated_hdfs(self.address + folder):
            self._fs.makedirs(folder, exist_ok=True)

    def create(self, path: str) -> "_NewFile":
        with translated_hdfs(self.address + path):
            inner = self._fs.open(path, "wb", overwrite=False)
        return _NewFile(inner, self.address + path, self._patience_s)

    def open(self, path: str) -> BinaryIO:
        with translated_hdfs(self.address + path):
            inner = self._fs.open(path, "rb")
        raw = _Reading(inner, self.address + path)
        return cast("BinaryIO", io.BufferedReader(raw, 2**20))

    def rename(self, old: str, new: str) -> None:
        with translated_hdfs(self.address + new):
            self._fs.mv(old, new, overwrite=False)

    def remove(self, path: str) -> None:
        with translated_hdfs(self.address + path), suppress(FileNotFoundError):
            self._fs.rm_file(path)


class _NewFile:
    def __init__(self, inner: Any, where: str, patience_s: float) -> None:
        self._inner = inner
        self._where = where
        self._patience_s = patience_s

    def write(self, data: bytes, /) -> int:
        with translated_hdfs(self._where):
            return cast("int", self._inner.write(data))

    def flush(self) -> None:
        pass  # what is written is on its way already

    def seal(self) -> None:
        with translated_hdfs(self._where):
            _within(self._patience_s, self._sync)

    def _sync(self) -> None:
        self._inner.hsync()
        self._inner.close()

    def close(self) -> None:
        with suppress(OSError, RuntimeError):
            self._inner.close()


def _within(limit_s: float, call: Callable[[], None]) -> None:
    """Make a call that may never come back, and leave it to itself then.

    hdfs-native 0.14.7 waits for ever in ``hsync`` if the last DataNode of a block goes away before
    it has confirmed the sync: it waits for the end of a task that waits for its next packet.

    Raises:
        OSError: it has not come back.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="hdfs-native", daemon=True).start()
    try:
        done.result(limit_s)
    except TimeoutError:
        raise OSError(f"no DataNode has confirmed what was written for {limit_s:.0f} s") from None


class _Reading(io.RawIOBase):
    """What hdfs-native gives to read has no ``readinto``, which a buffer needs."""

    def __init__(self, inner: Any, where: str) -> None:
        self._inner = inner
        self._where = where

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with translated_hdfs(self._where):
            self._inner.seek(offset, whence)
            return self.tell()

    def tell(self) -> int:
        return cast("int", self._inner.tell())

    def readinto(self, buffer: Any, /) -> int:
        with translated_hdfs(self._where):
            data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
