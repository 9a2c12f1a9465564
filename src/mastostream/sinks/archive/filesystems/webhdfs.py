"""HDFS through HTTP (WebHDFS), with fsspec's client."""

import getpass
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, urlsplit

import requests
from fsspec.implementations.webhdfs import (  # type: ignore[import-untyped]  # it has no types
    WebHDFS,
)

from mastostream.exceptions import ConfigurationError
from mastostream.ports.filesystem import FileFacts
from mastostream.sinks.archive.filesystems.errors import translated_hdfs

__all__ = ["WebHdfs"]

CHUNK_BYTES: Final = 8 * 2**20
"""Bytes that one request appends: many, because HDFS opens the file anew for each request."""

_TIMEOUT_S: Final = (5.0, 60.0)
"""Time-outs of a request: to connect, and to wait for the next bytes of a response."""


class WebHdfs:
    """A :class:`ports.filesystem.FileSystem` on WebHDFS, without encryption or Kerberos.

    The NameNode redirects its clients to the DataNodes by the names that these have in the cluster,
    so this machine must be able to reach them by these names. ``seal`` returns when the DataNodes
    have all bytes; WebHDFS cannot make them write the bytes to their disks.
    """

    notices_damage = True

    def __init__(self, url: str, *, user: str = "") -> None:
        """Create the client, which connects at its first operation.

        Args:
            url: the address of the NameNode's web server: ``http://host:9870``.
            user: the owner of written files; empty for ``HADOOP_USER_NAME`` or, without it, the
                user of this process.

        Raises:
            ConfigurationError: the address is wrong, or holds a user.
        """
        if "@" in url:
            raise ConfigurationError(
                "hdfs.webhdfs_url: expected http://host:port without a user; whose files are "
                "written is the setting hdfs.user"
            )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigurationError(f"hdfs.webhdfs_url: {url} is no address: {error}") from error
        if parts.scheme != "http" or not host or parts.path.strip("/"):
            raise ConfigurationError(f"hdfs.webhdfs_url: expected http://host:port, got {url}")
        self.address = f"http://{host}:{port or 9870}"
        user = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self._fs = _Client(host, port or 9870, user=user, skip_instance_cache=True)

    def list(self, folder: str) -> Sequence[FileFacts]:
        with translated_hdfs(self.address + folder), suppress(FileNotFoundError):
            return tuple(
                FileFacts(
                    path=entry["name"],
                    is_folder=entry["type"] == "directory",
                    size_bytes=entry["size"],
                    modified_ms=entry["modificationTime"],
                )
                for entry in self._fs.ls(folder, detail=True)
            )
        return ()

    def make_folder(self, folder: str) -> None:
        with translated_hdfs(self.address + folder):
            self._fs.makedirs(folder, exist_ok=True)

    def create(self, path: str) -> "_NewFile":
        with translated_hdfs(self.address + path):
            self._fs.send("CREATE", "PUT", path, b"", overwrite="false")
        return _NewFile(self._fs, path, self.address + path)

    def open(self, path: str) -> BinaryIO:
        with translated_hdfs(self.address + path):
            size_bytes = self._fs.info(path)["size"]
        raw = _FileReader(self._fs, path, size_bytes, self.address + path)
        return cast("BinaryIO", io.BufferedReader(raw, 2**20))

    def rename(self, old: str, new: str) -> None:
        with translated_hdfs(self.address + new):
            self._fs.mv(old, new)

    def remove(self, path: str) -> None:
        with translated_hdfs(self.address + path):
            self._fs.rm_file(path)


class _Client(WebHDFS):  # type: ignore[misc]  # it has no types
    """fsspec's client, plus time-outs, errors by class, and a rename that reports a failure."""

    def _connect(self) -> None:
        self.session = _WebHdfsSession()

    def send(self, operation: str, method: str, path: str, data: bytes, **options: Any) -> None:
        """Send bytes to the DataNode that the NameNode names."""
        redirect = self._call(operation, method, path, redirect=False, **options)
        headers = {"content-type": "application/octet-stream"}
        _check(self.session.request(method, _location(redirect), data=data, headers=headers))

    def fetch(self, path: str, start: int, length: int) -> bytes:
        """Return ``length`` bytes of a file, from offset ``start``."""
        redirect = self._call("OPEN", path=path, redirect=False, offset=start, length=length)
        response = self.session.get(_location(redirect))
        _check(response)
        return response.content

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Rename a file, or raise.

        Without ``renameoptions``, HDFS reports no failure, and moves the file into a folder that
        has the new name.
        """
        self._call("RENAME", "PUT", path1, destination=path2, renameoptions="NONE")

    def _call(
        self,
        op: str,
        method: str = "get",
        path: str | None = None,
        data: bytes | None = None,
        redirect: bool = True,
        **options: Any,
    ) -> requests.Response:
        where = self.url + quote(self._strip_protocol(path) if path else "", safe="/=")
        query = options | self.pars | {"op": op.upper()}
        response = self.session.request(
            method.upper(), where, params=query, data=data, allow_redirects=redirect
        )
        _check(response)
        return response


class _WebHdfsSession(requests.Session):
    """A session in which every request has a time-out, and none uses a proxy: HDFS is near."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        options.setdefault("timeout", _TIMEOUT_S)
        return super().request(*arguments, **options)


def _location(redirect: requests.Response) -> str:
    """Return the URL of the DataNode that the NameNode names."""
    where = redirect.headers.get("Location")
    if where is None:
        raise RuntimeError("UnsupportedOperationException: it names no DataNode: no NameNode?")
    return where


def _check(response: requests.Response) -> None:
    """Raise the error in a response of a NameNode or a DataNode; both use the same format."""
    if response.ok:
        return
    try:
        remote = response.json()["RemoteException"]
        name, message = str(remote["exception"]), str(remote["message"])
    except (ValueError, KeyError, TypeError):
        response.raise_for_status()
        return
    if name == "FileAlreadyExistsException":
        raise FileExistsError(message)
    if name == "FileNotFoundException":
        raise FileNotFoundError(message)
    raise RuntimeError(f"{name}: {message}")


class _NewFile:
    """A :class:`ports.filesystem.NewFile` in HDFS, which appends large pieces."""

    def __init__(self, fs: _Client, path: str, where: str) -> None:
        self._fs = fs
        self._path = path
        self._where = where
        self._waiting = bytearray()

    def write(self, data: bytes, /) -> int:
        self._waiting += data
        if len(self._waiting) >= CHUNK_BYTES:
            self._send()
        return len(data)

    def flush(self) -> None:
        pass  # it waits for a large piece: each request is slow

    def seal(self) -> None:
        if self._waiting:
            self._send()

    def close(self) -> None:
        self._waiting.clear()

    def _send(self) -> None:
        with translated_hdfs(self._where):
            self._fs.send("APPEND", "POST", self._path, bytes(self._waiting))
        self._waiting.clear()


class _FileReader(io.RawIOBase):
    """A file in HDFS to read; each read is one request."""

    def __init__(self, fs: _Client, path: str, size_bytes: int, where: str) -> None:
        self._fs = fs
        self._path = path
        self._where = where
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        length = min(len(buffer), self._size_bytes - self._position)
        if length <= 0:
            return 0
        with translated_hdfs(self._where):
            data = self._fs.fetch(self._path, self._position, length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
