"""Gets the servers' files from Maven Central, through jgo and into Maven's own cache.

jgo works out what belongs to what; the files are written here, so that one that was not wholly
received, or differs from its checksum, never gets its name.
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
"""Is told what goes on, and which part of it is done: 0 to 1, ``None`` where nobody knows."""

_TIMEOUT_S: Final = 30.0
_CHUNK_BYTES: Final = 2**17
_TOLD_BYTES: Final = 10**6
_RETRIES: Final = 4
_TRY_AGAIN: Final = (429, 500, 502, 503, 504)
_SCOPES: Final = ("compile", "runtime")


def class_path(coordinates: Sequence[str], on_progress: OnProgress) -> tuple[Path, ...]:
    """Return the jars of these (``group:name:version``) and of all that they need.

    Raises:
        MissingExtraError: jgo is not installed.
        RetriableError: Maven Central cannot be reached, or the disk is full.
        FatalError: what was received is not what was asked for.
    """
    with translated(), _session() as session:
        resolver = _Resolver(session, on_progress)
        context = _context(resolver)
        _, name, version = coordinates[0].split(":")
        on_progress(f"looking up what {name} {version} needs", None)
        asked, needed = resolver.resolve([context.create_dependency(each) for each in coordinates])
        artifacts = [
            *(each.artifact for each in asked),
            *(each.artifact for each in needed if each.scope in _SCOPES),
        ]
        return tuple(_whole(each, resolver) for each in artifacts)


def download(coordinate: str, packaging: str, on_progress: OnProgress) -> Path:
    """Return one file: a jar or a zip, by its ``group:name:version``.

    Raises:
        MissingExtraError: jgo is not installed.
        RetriableError: Maven Central cannot be reached, or the disk is full.
        FatalError: what was received is not what was asked for.
    """
    group, name, version = coordinate.split(":")
    with translated(), _session() as session:
        resolver = _Resolver(session, on_progress)
        project = _context(resolver).project(group, name)
        return _whole(project.at_version(version).artifact(packaging=packaging), resolver)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of jgo, of the network and of the disk into ours.

    Raises:
        RetriableError: the network or the disk; the same call may succeed later.
        FatalError: anything else.
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
    except RuntimeError as error:  # jgo's for what is missing
        raise FatalError(f"Maven Central does not have what is asked for: {error}") from error


class _Resolver:
    """jgo's resolver, with a way of writing files that can be interrupted."""

    def __init__(self, session: requests.Session, on_progress: OnProgress) -> None:
        from jgo.maven import PythonResolver  # noqa: PLC0415 - an extra

        self._inner = PythonResolver()
        self._session = session
        self._on_progress = on_progress

    def resolve(self, dependencies: "list[Dependency]", **options: Any) -> Any:
        return self._inner.resolve(dependencies, **options)

    def download(self, artifact: "Artifact") -> Path:
        """Fetch a file into Maven's cache, checked.

        Raises:
            RuntimeError: no repository has it, as jgo expects.
            RetriableError: its checksum is another one.
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
        digest = hashlib.sha1(usedforsecurity=False)  # the one checksum that all files there have
        received = 0
        for chunk in response.iter_content(_CHUNK_BYTES):
            write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if size > _TOLD_BYTES:
                told = f"downloading {name} ({size / 1e6:.1f} MB)"
                self._on_progress(told, min(received / size, 1.0))
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


def _whole(artifact: "Artifact", resolver: _Resolver) -> Path:
    """Return the file; one in the cache that somebody else left unfinished is replaced."""
    path = artifact.resolve()
    return path if zipfile.is_zipfile(path) else resolver.download(artifact)


def _context(resolver: _Resolver) -> "MavenContext":
    from jgo.config import GlobalSettings  # noqa: PLC0415 - an extra
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    known = GlobalSettings.load()  # where the user keeps Maven's cache, and repositories
    return MavenContext(
        resolver=resolver,  # type: ignore[arg-type] # it has the two methods that are called
        repo_cache=known.repo_cache,
        remote_repos={"central": MAVEN_CENTRAL_URL} | known.repositories,
    )


def _session() -> requests.Session:
    try:
        import jgo.maven  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Downloading servers", "services") from None
    from requests.adapters import HTTPAdapter  # noqa: PLC0415
    from urllib3 import Retry  # noqa: PLC0415

    retry = Retry(
        total=_RETRIES,
        connect=0,  # without a network there is nothing to wait for
        backoff_factor=0.5,
        status_forcelist=_TRY_AGAIN,
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session
