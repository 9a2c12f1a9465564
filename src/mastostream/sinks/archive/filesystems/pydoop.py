"""HDFS through Hadoop's own Java client, with pydoop.

pydoop is compiled against a Hadoop and a JDK, and needs both when it runs: ``HADOOP_HOME`` (with
``bin/hadoop`` and ``etc/hadoop``) and ``JAVA_HOME``.
"""

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final, cast

from mastostream.exceptions import ConfigurationError
from mastostream.java_options import WARNS_ON_STDERR, add_java_options
from mastostream.ports.filesystem import FileFacts
from mastostream.sinks.archive.filesystems.errors import translated_hdfs

__all__ = ["PydoopHdfs"]

_BUFFER_BYTES: Final = 2**20
_NO_SIGNALS: Final = "-Xrs"
"""Java's option to leave Ctrl-C and SIGTERM to Python. The JVM would end the process at once."""


class PydoopHdfs:
    """A :class:`ports.filesystem.FileSystem` on pydoop. It starts one JVM in this process.

    ``seal`` returns when the DataNodes have all bytes; pydoop cannot make them write the bytes to
    their disks. ``create`` first checks that no file has the name, because pydoop would replace it.
    The check and the creation are two steps, so two processes must not choose the same name.
    """

    notices_damage = True

    def __init__(self, host: str, port: int | None, *, user: str = "") -> None:
        """Start Java. The client connects to the NameNode at its first operation.

        Args:
            host: the host of the NameNode, or a name service of the configuration in
                ``HADOOP_CONF_DIR``.
            port: the port of the NameNode; ``None`` for a name service.
            user: the owner of written files; empty for the user of this process.

        Raises:
            ConfigurationError: pydoop is not installed, or finds no Hadoop or no Java.
        """
        self.address = f"hdfs://{host}:{port}" if port else f"hdfs://{host}"
        _prepare()
        try:
            import pydoop.hdfs  # type: ignore[import-not-found]  # noqa: PLC0415 - looks for Hadoop

            self._fs: Any = pydoop.hdfs.hdfs(host, port or 0, user=user or None).fs
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "HDFS through pydoop needs pydoop, which pip cannot build alone: run "
                "scripts/install_pydoop.py of mastostream's repository, or set hdfs.backend to "
                "native, which needs no Java"
            ) from error
        except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"pydoop finds no Hadoop or no Java ({error}): set HADOOP_HOME and JAVA_HOME"
            ) from error

    def list(self, folder: str) -> Sequence[FileFacts]:
        with _translated(self.address + folder):
            try:
                entries = self._fs.list_directory(folder)
            except FileNotFoundError:
                return ()
        return tuple(
            FileFacts(
                path="/" + entry["name"].split("/", 3)[3],
                is_folder=entry["kind"] == "directory",
                size_bytes=entry["size"],
                modified_ms=entry["last_mod"] * 1000,
            )
            for entry in entries
        )

    def make_folder(self, folder: str) -> None:
        with _translated(self.address + folder):
            self._fs.create_directory(folder)

    def create(self, path: str) -> "_NewFile":
        with _translated(self.address + path):
            if self._is_there(path):
                raise FileExistsError(path)
            return _NewFile(self._fs.open_file(path, "w"), self.address + path)

    def open(self, path: str) -> BinaryIO:
        with _translated(self.address + path):
            size_bytes = self._fs.get_path_info(path)["size"]
            raw = _FileReader(self._fs.open_file(path, "r"), size_bytes, self.address + path)
        return cast("BinaryIO", io.BufferedReader(raw, _BUFFER_BYTES))

    def rename(self, old: str, new: str) -> None:
        with _translated(self.address + new):
            try:
                self._fs.rename(old, new)
            except OSError as error:
                # HDFS gives no reason why this kind of rename failed, so look for one.
                if error.errno == errno.EIO and self._is_there(new):
                    raise FileExistsError(new) from None
                if error.errno == errno.EIO and not self._is_there(old):
                    raise FileNotFoundError(old) from None
                raise

    def remove(self, path: str) -> None:
        with _translated(self.address + path):
            try:
                self._fs.delete(path, 0)
            except OSError as error:
                if error.errno != errno.EIO or self._is_there(path):
                    raise

    def _is_there(self, path: str) -> bool:
        try:
            self._fs.get_path_info(path)
        except FileNotFoundError:
            return False
        return True


def _prepare() -> None:
    """Set the environment variables that Java and pydoop read."""
    add_java_options("LIBHDFS_OPTS", _NO_SIGNALS, *WARNS_ON_STDERR)
    home = os.environ.get("HADOOP_HOME")
    if home and shutil.which("hadoop") is None:
        os.environ["PATH"] = f"{home}/bin{os.pathsep}{os.environ.get('PATH', '')}"


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate errors as HDFS's; a lost lease becomes FileNotFoundError."""
    with translated_hdfs(where):
        try:
            yield
        except OSError as error:
            if error.errno == errno.ESTALE:  # no lease: the file was removed
                raise FileNotFoundError(where) from error
            raise


class _CloseOnce:
    """A file of pydoop that is closed at most once, since a second time would crash the process.

    For this reason no Python object that closes its file by itself may hold the inner one.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._closed = False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.inner.close()


class _NewFile:
    """A :class:`ports.filesystem.NewFile` in HDFS, which writes large pieces."""

    def __init__(self, inner: Any, where: str) -> None:
        self._handle = _CloseOnce(inner)
        self._where = where
        self._waiting = bytearray()

    def write(self, data: bytes, /) -> int:
        self._waiting += data
        if len(self._waiting) >= _BUFFER_BYTES:
            self._send()
        return len(data)

    def flush(self) -> None:
        pass  # it waits for a large piece, which is faster

    def seal(self) -> None:
        self._send()
        with _translated(self._where):
            self._handle.close()

    def close(self) -> None:
        self._waiting.clear()
        with suppress(OSError):
            self._handle.close()

    def _send(self) -> None:
        with _translated(self._where):
            if self._waiting:
                self._handle.inner.write(bytes(self._waiting))
        self._waiting.clear()


class _FileReader(io.RawIOBase):
    """A file of pydoop to read."""

    def __init__(self, inner: Any, size_bytes: int, where: str) -> None:
        self._handle = _CloseOnce(inner)
        self._size_bytes = size_bytes
        self._where = where

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self.tell() if whence == io.SEEK_CUR else 0,
            io.SEEK_END: self._size_bytes,
        }[whence]
        with _translated(self._where):
            self._handle.inner.seek(min(start + offset, self._size_bytes))
        return self.tell()

    def tell(self) -> int:
        return cast("int", self._handle.inner.tell())

    def readinto(self, buffer: Any, /) -> int:
        with _translated(self._where):
            return cast("int", self._handle.inner.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError):
                self._handle.close()
        super().close()
