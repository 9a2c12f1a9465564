"""HDFS without Java, through the client hdfs-native."""

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
    # By default, hdfs-native retries for minutes. With these values it gives up after seconds: the
    # runner retries for longer, and keeps the reader's place in its group meanwhile.
    "dfs.client.failover.max.attempts": "4",
    "dfs.client.failover.sleep.base.millis": "200",
    "dfs.client.failover.sleep.max.millis": "1000",
}

_PATIENCE_S: Final = 90.0
"""The time-out of ``seal``: longer than hdfs-native's own wait for a silent DataNode, 60 s."""


class NativeHdfs:
    """A :class:`ports.filesystem.FileSystem` on hdfs-native's own class for fsspec.

    ``seal`` asks the DataNodes to write the bytes to their disks (``hsync``), and tells the
    NameNode that the file is complete.
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
        """Create the client, which connects at its first operation.

        Args:
            host: the host of the NameNode, or a name service of the settings.
            port: the port of the NameNode; ``None`` for a name service.
            user: the owner of written files; empty for the user of this process. Hadoop's clients
                take it from ``HADOOP_USER_NAME``, which is set for the whole process.
            settings: settings of Hadoop's client, by Hadoop's names; they are added to those in
                ``HADOOP_CONF_DIR``.
            patience_s: how long ``seal`` waits for a DataNode's confirmation, in seconds.

        Raises:
            MissingExtraError: the extra ``hdfs`` is not installed.
            FatalError: a setting is wrong.
        """
        try:
            from hdfs_native.fsspec import HdfsFileSystem  # noqa: PLC0415 - it is an extra
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
        raw = _FileReader(inner, self.address + path)
        return cast("BinaryIO", io.BufferedReader(raw, 2**20))

    def rename(self, old: str, new: str) -> None:
        with translated_hdfs(self.address + new):
            self._fs.mv(old, new, overwrite=False)

    def remove(self, path: str) -> None:
        with translated_hdfs(self.address + path), suppress(FileNotFoundError):
            self._fs.rm_file(path)


class _NewFile:
    """A :class:`ports.filesystem.NewFile` in HDFS."""

    def __init__(self, inner: Any, where: str, patience_s: float) -> None:
        self._inner = inner
        self._where = where
        self._patience_s = patience_s

    def write(self, data: bytes, /) -> int:
        with translated_hdfs(self._where):
            return cast("int", self._inner.write(data))

    def flush(self) -> None:
        pass  # hdfs-native sends written bytes without it

    def seal(self) -> None:
        with translated_hdfs(self._where):
            _call_with_timeout(self._patience_s, self._sync)

    def _sync(self) -> None:
        self._inner.hsync()
        self._inner.close()

    def close(self) -> None:
        with suppress(OSError, RuntimeError):
            self._inner.close()


def _call_with_timeout(timeout_s: float, call: Callable[[], None]) -> None:
    """Make a call that may never return, in a thread of its own; abandon the thread then.

    hdfs-native 0.14.7 waits for ever in ``hsync`` if the last DataNode of a block ends before it
    has confirmed the sync: it waits for the end of a task that itself waits for its next packet.

    Raises:
        OSError: the call has not returned in time.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised by done.result()
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="hdfs-native", daemon=True).start()
    try:
        done.result(timeout_s)
    except TimeoutError:
        raise OSError(f"no DataNode has confirmed what was written for {timeout_s:.0f} s") from None


class _FileReader(io.RawIOBase):
    """A file in HDFS to read, with the ``readinto`` that ``io.BufferedReader`` needs.

    hdfs-native's own file has none.
    """

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
