"""Where an archive can be, and what goes wrong there."""

import errno
import os
import sys
from pathlib import Path

import pytest
import requests
from hdfs_native import _internal

from mastostream.config import HdfsSettings
from mastostream.exceptions import ConfigurationError, FatalError, RetriableError
from mastostream.sinks.archive.filesystems import LocalFiles, open_place
from mastostream.sinks.archive.filesystems.errors import translated, translated_hdfs
from mastostream.sinks.archive.filesystems.native import NativeHdfs
from mastostream.sinks.archive.filesystems.webhdfs import WebHdfs
from mastostream.testing.conformance.archive import FilesUnderTest, FileSystemConformance
from mastostream.testing.fakes import WatchedFiles

OURS = (RetriableError, FatalError, FileNotFoundError, FileExistsError)


class TestLocalFiles(FileSystemConformance):
    @pytest.fixture
    def files(self, tmp_path: Path) -> FilesUnderTest:
        return FilesUnderTest(filesystem=LocalFiles(), folder=str(tmp_path / "new"))


class TestWatchedFiles(FileSystemConformance):
    """What watches the steps of another file system changes none of its promises."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> FilesUnderTest:
        watched = WatchedFiles(LocalFiles(), lambda _when, _step: None)
        return FilesUnderTest(filesystem=watched, folder=str(tmp_path / "new"))


class TestLocalFilesWithoutHardLinks(FileSystemConformance):
    """As on some memory cards and network folders, where two renames at once are not safe."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> FilesUnderTest:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        return FilesUnderTest(filesystem=LocalFiles(link=refuse), folder=str(tmp_path / "new"))

    test_of_several_that_want_one_name_one_gets_it = None  # type: ignore[assignment]  # see above


def test_a_place_is_a_folder_or_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("archive", str(tmp_path / "archive"), f"file://{tmp_path}/archive/"):
        filesystem, path = open_place(place, HdfsSettings())
        assert isinstance(filesystem, LocalFiles)
        assert path == str(tmp_path / "archive")
    native, path = open_place("hdfs://localhost:9000/kafka_demo", HdfsSettings())
    assert isinstance(native, NativeHdfs)
    assert (native.address, path) == ("hdfs://localhost:9000", "/kafka_demo")
    web, path = open_place("hdfs://node:9000/a/b/", HdfsSettings(backend="webhdfs"))
    assert isinstance(web, WebHdfs)
    assert (web.address, path) == ("http://node:9870", "/a/b")
    settings = HdfsSettings(backend="webhdfs", webhdfs_url="http://other:1")
    assert open_place("hdfs://node:9000/a", settings)[0].address == "http://other:1"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://bucket/a", "expected a folder, or hdfs://"),
        ("hdfs:///a", "expected hdfs://host:port/path"),
        ("hdfs://user@host:1/a", "hdfs.user"),
        ("hdfs://host:70000/a", "is no address"),
        ("hdfs://host:1/a?b", "expected hdfs://host:port/path"),
        ("file://host/a", "expected a folder"),
    ],
)
def test_a_place_that_is_none_is_told(place: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_place(place, HdfsSettings())


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    settings = HdfsSettings(backend="webhdfs", webhdfs_url="http://me:hunter2@host:9870")
    for place in ("hdfs://me:hunter2@host:9000/a", "hdfs://host:9000/a"):
        with pytest.raises(ConfigurationError, match=r"hdfs\.user") as raised:
            open_place(place, settings)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://host:9871", "host:9870", "http://host/webhdfs", "http://h:x"]
)
def test_an_address_of_webhdfs_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"hdfs\.webhdfs_url"):
        WebHdfs(url)


def test_a_folder_that_is_a_file_or_must_not_be_used_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for use in (LocalFiles().list, LocalFiles().make_folder):
        with pytest.raises(FatalError, match="is no folder"):
            use(str(tmp_path / "a"))
    with pytest.raises(FatalError, match="cannot use"):
        LocalFiles().make_folder(str(tmp_path / "a" / "b"))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, RetriableError),
        (errno.EDQUOT, RetriableError),
        (errno.EIO, RetriableError),
        (errno.EMFILE, RetriableError),
        (errno.EACCES, FatalError),
        (errno.EROFS, FatalError),
    ],
)
def test_errors_of_this_machine_say_what_to_do(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"/place.*|.*/place"), translated("/place"):
        raise OSError(number, os.strerror(number))


def subclasses(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(requests.RequestException))
def test_every_error_of_requests_is_translated(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.args = ("message",)
    with pytest.raises(OURS), translated_hdfs("hdfs://place"):
        raise error


def test_every_error_of_hdfs_native_is_translated() -> None:
    """Its own class is raised by a trash that nobody here uses; all others are Python's."""
    own = [member for member in vars(_internal).values() if isinstance(member, type)]
    own = [kind for kind in own if issubclass(kind, BaseException)]
    assert own == [_internal.TrashNotEnabledError]
    for kind in (OSError, RuntimeError, NotImplementedError, IsADirectoryError):
        with pytest.raises(OURS), translated_hdfs("hdfs://place"):
            raise kind("message")

    class PanicException(BaseException):
        pass

    with pytest.raises(RetriableError), translated_hdfs("hdfs://place"):
        raise PanicException


_HADOOP = "org.apache.hadoop."


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('RPCError("%shdfs.server.namenode.SafeModeException", "in safe mode")', RetriableError),
        ('RPCError("%sipc.StandbyException", "state standby")', RetriableError),
        ('RPCError("%sipc.RetriableException", "later")', RetriableError),
        ('RPCError("java.io.IOException", "could only be written to 0 of the 1")', RetriableError),
        ('RPCError("%shdfs.protocol.DSQuotaExceededException", "quota")', RetriableError),
        ('DataTransferError("All nodes failed for write")', RetriableError),
        ('RPCError("%ssecurity.AccessControlException", "Permission denied")', FatalError),
        ('FatalRPCError("%ssecurity.authorize.AuthorizationException", "no")', FatalError),
        ('SASLError("no")', FatalError),
        ("NoSASLMechanism", FatalError),
        ('RPCError("%sfs.InvalidPathException", "no")', FatalError),
    ],
)
def test_what_hdfs_says_is_waited_out_or_given_up(text: str, kind: type[Exception]) -> None:
    message = text.replace("%s", _HADOOP) + "\\n\\tat org.apache.hadoop.Secret.line(Java.java:1)"
    with pytest.raises(kind, match="hdfs://place") as raised, translated_hdfs("hdfs://place"):
        raise RuntimeError(message)
    assert "Java.java" not in str(raised.value)


def test_a_namenode_that_is_away_is_waited_for() -> None:
    for filesystem in (
        NativeHdfs("localhost", 1, settings={"dfs.client.failover.max.attempts": "1"}),
        WebHdfs("http://localhost:1"),
    ):
        with pytest.raises(RetriableError, match="check that the NameNode"):
            filesystem.list("/")


def test_pydoop_that_is_missing_is_built_by_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """``pip install`` fails for everybody: its build asks for what setuptools has no more."""
    monkeypatch.setitem(sys.modules, "pydoop", None)
    monkeypatch.setenv("LIBHDFS_OPTS", "")
    with pytest.raises(ConfigurationError, match=r"scripts/install_pydoop\.py"):
        open_place("hdfs://localhost:9000/folder", HdfsSettings(backend="pydoop"))
