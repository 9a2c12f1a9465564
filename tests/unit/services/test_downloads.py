"""A downloaded file is complete and verified, or does not exist."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.services import class_path, download
from mastostream.services.downloads import translated
from mastostream.services.service import silent

pytest.importorskip("jgo")


def jar(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("text", text)
    return content.getvalue()


def pom(name: str, needs: str = "", scope: str = "compile") -> bytes:
    dependency = (
        f"<dependency><groupId>org.example</groupId><artifactId>{needs}</artifactId>"
        f"<version>1</version><scope>{scope}</scope></dependency>"
    )
    return (
        f"<project><groupId>org.example</groupId><artifactId>{name}</artifactId>"
        f"<version>1</version><dependencies>{dependency if needs else ''}</dependencies></project>"
    ).encode()


class Repository:
    """A Maven repository: the content of its files by path, and the requests that it got."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.requests: list[str] = []

    def add(self, name: str, extension: str, content: bytes, sha1: str | None = None) -> str:
        path = f"/org/example/{name}/1/{name}-1.{extension}"
        self.files[path] = content
        digest = sha1 or hashlib.sha1(content).hexdigest()
        self.files[f"{path}.sha1"] = f"{digest}  {name}".encode()
        return path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    repository = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            repository.requests.append(self.path)
            content = repository.files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            cut = self.path in repository.cut
            self.wfile.write((content or b"")[: 100 if cut else None])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / ".jgorc").write_text(f"[repositories]\ncentral = {url}\n")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield repository
    server.shutdown()
    server.server_close()
    thread.join()


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "m2").rglob("*") if path.is_file())


def test_a_file_is_fetched_once(repository: Repository, tmp_path: Path) -> None:
    content = jar("one")
    repository.add("a", "zip", content)
    path = download("org.example:a:1", "zip", silent)
    assert path == tmp_path / "m2" / "org" / "example" / "a" / "1" / "a-1.zip"
    assert path.read_bytes() == content
    requests_before = len(repository.requests)
    assert download("org.example:a:1", "zip", silent) == path
    assert len(repository.requests) == requests_before


def test_a_class_path_holds_what_is_needed_to_run(repository: Repository) -> None:
    for name, needs, scope in (("a", "b", "compile"), ("b", "c", "runtime"), ("c", "t", "test")):
        repository.add(name, "jar", jar(name))
        repository.add(name, "pom", pom(name, needs, scope))
    paths = class_path(["org.example:a:1"], silent)
    assert sorted(path.name for path in paths) == ["a-1.jar", "b-1.jar", "c-1.jar"]


def test_another_checksum_leaves_nothing_behind(repository: Repository, tmp_path: Path) -> None:
    path = repository.add("a", "zip", jar("one"), sha1="0" * 40)
    with pytest.raises(RetriableError, match=f"{path} was received damaged.*try again"):
        download("org.example:a:1", "zip", silent)
    assert cached(tmp_path) == []


def test_a_download_that_breaks_off_leaves_nothing_behind(
    repository: Repository, tmp_path: Path
) -> None:
    path = repository.add("a", "zip", jar("one"))
    repository.cut.add(path)
    with pytest.raises(RetriableError, match="Maven Central cannot be reached"):
        download("org.example:a:1", "zip", silent)
    assert cached(tmp_path) == []
    repository.cut.clear()
    assert zipfile.is_zipfile(download("org.example:a:1", "zip", silent))


def test_a_file_that_another_program_left_unfinished_is_replaced(
    repository: Repository, tmp_path: Path
) -> None:
    repository.add("a", "zip", jar("one"))
    half = tmp_path / "m2" / "org" / "example" / "a" / "1" / "a-1.zip"
    half.parent.mkdir(parents=True)
    half.write_bytes(jar("one")[:50])
    assert zipfile.is_zipfile(download("org.example:a:1", "zip", silent))


def test_what_is_not_there_is_said(repository: Repository) -> None:
    with pytest.raises(FatalError, match=r"does not have what is asked for.*org\.example:a"):
        download("org.example:a:1", "zip", silent)


def test_without_a_checksum_nothing_is_taken(repository: Repository, tmp_path: Path) -> None:
    path = repository.add("a", "zip", jar("one"))
    del repository.files[f"{path}.sha1"]
    with pytest.raises(RetriableError):
        download("org.example:a:1", "zip", silent)
    assert cached(tmp_path) == []


def test_progress_is_told_of_large_files(repository: Repository) -> None:
    with zipfile.ZipFile(content := io.BytesIO(), "w") as file:
        file.writestr("zeros", bytes(3 * 10**6))
    repository.add("a", "zip", content.getvalue())
    shares: list[float | None] = []
    download("org.example:a:1", "zip", lambda _, share: shares.append(share))
    assert shares[-1] == 1.0
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert len(shares) > 5


def test_a_folder_that_cannot_be_written_is_said(repository: Repository, tmp_path: Path) -> None:
    repository.add("a", "zip", jar("one"))
    (tmp_path / "m2").write_text("a file")
    with pytest.raises(RetriableError, match=r"cannot write .*m2.*M2_REPO"):
        download("org.example:a:1", "zip", silent)


def walk(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from walk(subclass)


@pytest.mark.parametrize("kind", sorted(set(walk(requests.RequestException)), key=str))
def test_no_error_of_the_network_gets_through(kind: type[BaseException]) -> None:
    error = kind.__new__(kind)
    with pytest.raises(MastostreamError) as failure, translated():
        raise error
    assert isinstance(failure.value, RetriableError)
    assert failure.value.__cause__ is error
