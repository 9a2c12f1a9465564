"""The file systems that can hold an archive: that of this machine, and HDFS."""

from pathlib import Path
from urllib.parse import urlsplit

from mastostream.config import HdfsSettings
from mastostream.exceptions import ConfigurationError
from mastostream.ports.filesystem import FileSystem
from mastostream.sinks.archive.filesystems.local import LocalFiles

__all__ = ["LocalFiles", "is_url", "open_place"]


def is_url(place: str) -> bool:
    """Whether a place begins with the address of a file system, such as ``hdfs://``."""
    return "://" in place


def open_place(place: str, hdfs: HdfsSettings) -> tuple[FileSystem, str]:
    """Return the file system of a place, and the absolute path in it. No file is looked at.

    Args:
        place: a path of this machine, ``file:///path``, or ``hdfs://host:port/path``.
        hdfs: the settings of the HDFS client.

    Raises:
        ConfigurationError: the place is of an unknown kind, its address is wrong or holds a user,
            or the HDFS client cannot be used.
        MissingExtraError: the extra that the file system needs is not installed.
    """
    if not is_url(place):
        return LocalFiles(), str(Path(place).absolute())
    if (
        "@" in place.partition("//")[2].partition("/")[0]
    ):  # perhaps with a password, which is not shown
        raise ConfigurationError(
            "an archive's address has no user: expected hdfs://host:port/path; whose files are "
            "written is the setting hdfs.user"
        )
    try:
        url = urlsplit(place)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ConfigurationError(f"{place} is no address: {error}") from error
    path = "/" + url.path.strip("/")
    if url.scheme == "file" and not url.netloc:
        return LocalFiles(), path
    if url.scheme != "hdfs":
        raise ConfigurationError(f"{place}: expected a folder, or hdfs://host:port/path")
    if not host or url.query or url.fragment:
        raise ConfigurationError(f"{place}: expected hdfs://host:port/path")
    return _hdfs(host, port, hdfs), path


def _hdfs(host: str, port: int | None, hdfs: HdfsSettings) -> FileSystem:
    if hdfs.backend == "pydoop":
        from mastostream.sinks.archive.filesystems.pydoop import (  # noqa: PLC0415 - pydoop is optional
            PydoopHdfs,
        )

        return PydoopHdfs(host, port, user=hdfs.user)
    if hdfs.backend == "webhdfs":
        from mastostream.sinks.archive.filesystems.webhdfs import (  # noqa: PLC0415 - requests takes 50 ms
            WebHdfs,
        )

        return WebHdfs(hdfs.webhdfs_url or f"http://{host}:9870", user=hdfs.user)
    from mastostream.sinks.archive.filesystems.native import (  # noqa: PLC0415 - hdfs-native is an extra
        NativeHdfs,
    )

    return NativeHdfs(host, port, user=hdfs.user, settings=hdfs.settings)
