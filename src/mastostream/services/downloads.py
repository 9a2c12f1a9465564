"""Downloads the servers' files from Maven Central into Maven's own cache.

The library jgo resolves the dependencies. The files themselves are written here: a file gets its
final name only after it was received completely and its checksum was verified.
"""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests

from mastostream.exceptions import (
    FatalError,
    MissingExtraError,
    RetriableError,
)

if TYPE_CHECKING:
    from jgo.maven import Artifact, Dependency, MavenContext

__all__ = ["OnProgress", "class_path", "download", "translated"]

OnProgress = Callable[[str, float | None], None]
"""Callback for progress: a short message, and the share that is done.

The share is between 0 and 1, or ``None`` where it is unknown."""

_TIMEOUT_S: Final = 30.0
_CHUNK_BYTES: Final = 2**17
_LARGE_FILE_BYTES: Final = 10**6
"""Progress is reported only for files that are larger than this."""

_RETRIES: Final = 4
_RETRIED_STATUSES: Final = (429, 500, 502, 503, 504)
"""HTTP status codes that may go away: too many requests, and errors of the server."""

_RUNTIME_SCOPES: Final = ("compile", "runtime")
"""Maven's scopes of the dependencies that a program needs to run."""


def class_path(coordinates: Sequence[str], on_progress: OnProgress) -> tuple[Path, ...]:
    """Return the jars of these artifacts and of all their dependencies at run time.

    Args:
        coordinates: the artifacts as ``group:name:version``.
        on_progress: called for each step, and repeatedly for a large file.

    Raises:
        MissingExtraError: jgo is not installed.
        RetriableError: Maven Central cannot be reached, a file was received damaged, or the disk
            cannot be written.
        FatalError: Maven Central does not have an artifact.
    """
    with translated(), _session() as session:
        resolver = _Resolver(session, on_progress)
        context = _context(resolver)
        _, name, version = coordinates[0].split(":")
        on_progress(f"looking up what {name} {version} needs", None)
        requested, needed = resolver.resolve(
            [context.create_dependency(coordinate) for coordinate in coordinates]
        )
        artifacts = [
            *(dependency.artifact for dependency in requested),
            *(dependency.artifact for dependency in needed if dependency.scope in _RUNTIME_SCOPES),
        ]
        return tuple(_complete_file(artifact, resolver) for artifact in artifacts)


def download(coordinate: str, packaging: str, on_progress: OnProgress) -> Path:
    """Return one file, without its dependencies.

    Args:
        coordinate: the artifact as ``group:name:version``.
        packaging: the kind of file: ``jar`` or ``zip``.
        on_progress: called repeatedly for a large file.

    Raises:
        MissingExtraError: jgo is not installed.
        RetriableError: Maven Central cannot be reached, the file was received damaged, or the disk
            cannot be written.
        FatalError: Maven Central does not have the file.
    """
    group, name, version = coordinate.split(":")
    with translated(), _session() as session:
        resolver = _Resolver(session, on_progress)
        project = _context(resolver).project(group, name)
        return _complete_file(project.at_version(version).artifact(packaging=packaging), resolver)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate the errors of jgo, of the network and of the disk into this package's errors.

    Raises:
        RetriableError: the network or the disk failed; the same call may succeed later.
        FatalError: jgo reports that something is missing.
    """
    try:
        yield
    except requests.RequestException as error:
        raise RetriableError(
            f"Maven Central cannot be reached ({type(error).__name__}): check the network (and "
            "HTTPS_PROXY, where one is needed) and try again; what is here already is kept"
        ) from error
    except OSError as error:
        raise RetriableError(
            f"cannot write {error.filename or 'a download'} ({error.strerror or error}): free some "
            "space there, or set M2_REPO to a folder that can be written"
        ) from error
    except RuntimeError as error:  # jgo raises it for what is missing
        raise FatalError(f"Maven Central does not have what is asked for: {error}") from error


class _Resolver:
    """jgo's resolver, with downloads that leave no partial file when they are interrupted."""

    def __init__(self, session: requests.Session, on_progress: OnProgress) -> None:
        from jgo.maven import PythonResolver  # noqa: PLC0415 - an optional dependency

        self._inner = PythonResolver()
        self._session = session
        self._on_progress = on_progress

    def resolve(self, dependencies: "list[Dependency]", **options: Any) -> Any:
        return self._inner.resolve(dependencies, **options)

    def download(self, artifact: "Artifact") -> Path:
        """Download a file into Maven's cache and verify its checksum.

        Raises:
            RuntimeError: no repository has the file. jgo expects this kind of error.
            RetriableError: the checksum is wrong.
            FatalError: jgo has no cache folder.
        """
        target = artifact.cached_path
        if target is None:
            raise FatalError("jgo has no cache folder: set M2_REPO to one")
        target.parent.mkdir(parents=True, exist_ok=True)
        path = artifact.component.path_prefix.as_posix()
        for repository in artifact.context.remote_repos.values():
            if self._fetch(f"{repository}/{path}/{artifact.filename}", target):
                return target
        raise RuntimeError(f"there is no {artifact}")

    def _fetch(self, url: str, target: Path) -> bool:
        with self._session.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            if response.status_code == 404:
                return False
            response.raise_for_status()
            handle, part = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    digest = self._receive(response, file.write, target.name)
                self._check(url, digest)
                Path(part).chmod(0o644)
                Path(part).replace(target)
            finally:
                Path(part).unlink(missing_ok=True)
        return True

    def _receive(
        self, response: requests.Response, write: Callable[[bytes], int], name: str
    ) -> str:
        size = int(response.headers.get("Content-Length", 0))
        digest = hashlib.sha1(usedforsecurity=False)  # Maven Central has a SHA-1 for every file
        received = 0
        for chunk in response.iter_content(_CHUNK_BYTES):
            write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if size > _LARGE_FILE_BYTES:
                message = f"downloading {name} ({size / 1e6:.1f} MB)"
                self._on_progress(message, min(received / size, 1.0))
        return digest.hexdigest()

    def _check(self, url: str, digest: str) -> None:
        response = self._session.get(f"{url}.sha1", timeout=_TIMEOUT_S)
        response.raise_for_status()
        expected = response.text.split()[0].lower() if response.text.strip() else "nothing"
        if digest != expected:
            raise RetriableError(
                f"{url} was received damaged: its SHA-1 is {digest} instead of {expected}: try "
                "again, from another network if it stays so"
            )


def _complete_file(artifact: "Artifact", resolver: _Resolver) -> Path:
    """Return the artifact's file; an incomplete one that another program left is replaced."""
    path = artifact.resolve()
    return path if zipfile.is_zipfile(path) else resolver.download(artifact)


def _context(resolver: _Resolver) -> "MavenContext":
    from jgo.config import GlobalSettings  # noqa: PLC0415 - an optional dependency
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - an optional dependency
    from jgo.maven import MavenContext  # noqa: PLC0415 - an optional dependency

    user_settings = GlobalSettings.load()  # the user's cache folder and repositories of Maven
    return MavenContext(
        resolver=resolver,  # type: ignore[arg-type] # jgo calls only the two methods that it has
        repo_cache=user_settings.repo_cache,
        remote_repos={"central": MAVEN_CENTRAL_URL} | user_settings.repositories,
    )


def _session() -> requests.Session:
    try:
        import jgo.maven  # noqa: F401, PLC0415 - is the optional dependency here?
    except ImportError:
        raise MissingExtraError("Downloading servers", "services") from None
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - not needed without jgo
    from urllib3 import Retry  # noqa: PLC0415 - not needed without jgo

    retry = Retry(
        total=_RETRIES,
        connect=0,  # without a network a retry would only delay the error
        backoff_factor=0.5,
        status_forcelist=_RETRIED_STATUSES,
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session
