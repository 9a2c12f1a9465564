"""Client of Kibana's HTTP API: its status and version, and the import of saved objects.

Source: https://www.elastic.co/docs/api/doc/kibana/v8 (status, spaces, saved objects).
"""

import base64
import re
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import attrs
import msgspec
import requests

from mastostream.dashboards.kibana.errors import no_kibana, refusal, translated
from mastostream.dashboards.kibana.saved_objects import DEFAULT_SPACE, OLDEST_KIBANA
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError, FatalError

__all__ = ["SECRET_NAMES", "ImportFailure", "Imported", "Kibana"]

SECRET_NAMES: Final = (
    "ELASTICSEARCH_API_KEY",
    "ELASTICSEARCH_USERNAME",
    "ELASTICSEARCH_PASSWORD",
)
_T = TypeVar("_T")
_SPACE: Final = re.compile(r"[a-z0-9_-]{1,200}")
_KEY: Final = re.compile(r"[!-~]+")
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")
_NOT_STATUS: Final = frozenset({400, 404, 405})
"""Statuses by which other servers, such as Elasticsearch, refuse the path of Kibana's status."""

_STOPS_ALL: Final = frozenset({"conflict", "ambiguous_conflict", "missing_references"})
"""Types of errors at which Kibana imports no object at all, whatever its ``successCount`` says."""


@attrs.frozen(kw_only=True)
class ImportFailure:
    """One object that was not imported.

    Attributes:
        type: type of the saved object.
        id: id of the saved object.
        reason: why it was not imported, in English.
        exists: whether the object is in Kibana already, so that it may be replaced.
    """

    type: str
    id: str
    reason: str
    exists: bool = False


@attrs.frozen(kw_only=True)
class Imported:
    """Result of an import.

    Attributes:
        count: number of objects that were imported.
        failures: the objects that were not imported.
    """

    count: int
    failures: tuple[ImportFailure, ...]


class _Version(msgspec.Struct, frozen=True):
    number: str = ""


class _Overall(msgspec.Struct):
    level: str


class _Levels(msgspec.Struct):
    overall: _Overall


class _Status(msgspec.Struct):
    status: _Levels
    version: _Version = _Version()


class _Reference(msgspec.Struct):
    type: str = ""
    id: str = ""


class _Error(msgspec.Struct):
    type: str
    message: str = ""
    references: list[_Reference] = []


class _Failed(msgspec.Struct):
    type: str
    id: str
    error: _Error


class _ImportResponse(msgspec.Struct):
    success: bool
    count: int = msgspec.field(name="successCount")
    errors: list[_Failed] = []


class _Authorization(requests.auth.AuthBase):
    """Sets the header ``Authorization``, or none.

    Without an authentication object, ``requests`` would send the credentials of ``.netrc``.
    """

    def __init__(self, header: str | None) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers["Authorization"] = self._header
        return request


class Kibana:
    """A client of one Kibana server. It does not retry, because a person waits for the result."""

    def __init__(
        self,
        url: str,
        *,
        space: str = "",
        ca_file: str = "",
        secrets: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Check the arguments; nothing is sent yet.

        Args:
            url: the server's URL, with the path under which Kibana is served, if there is one.
            space: id of the space; empty for the default space.
            ca_file: the CA certificate that signed the server's, a PEM file; empty for those that
                the system trusts.
            secrets: the values of :data:`SECRET_NAMES`, as far as there are any.
            timeout_s: seconds after which a request without a response is given up.

        Raises:
            ConfigurationError: an argument is not valid.
        """
        self._url = _checked_url(url)
        self._space = _checked_space(space)
        self._has_credentials = bool(secrets)
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.auth = _Authorization(_authorization(secrets or {}))
        self._session.headers.update({"kbn-xsrf": "true", "User-Agent": "mastostream"})
        self._verify = _checked_ca_file(ca_file) or True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def dashboard_url(self, dashboard_id: str) -> str:
        """Return the address of a dashboard for a browser."""
        return f"{self._url}{self._space_path}/app/dashboards#/view/{quote(dashboard_id, safe='')}"

    def version(self) -> str:
        """Check that Kibana is ready, and return its version.

        The version is empty if Kibana tells it only to users that are logged in.

        Raises:
            RetriableError: Kibana cannot be reached, or is not ready.
            ConfigurationError: the server is not Kibana or cannot be trusted, or the credentials
                are wrong.
            FatalError: Kibana refuses the request.
        """
        response = self._request("GET", "/api/status")
        if response.status_code in _NOT_STATUS:
            raise no_kibana(self._url)
        if response.status_code != 200:
            raise refusal(response, self._url, has_credentials=self._has_credentials)
        return _decoded(response, _Status, self._url).version.number

    def import_objects(self, ndjson: str, *, overwrite: bool) -> Imported:
        """Import saved objects into the space.

        If objects exist already and ``overwrite`` is false, or if objects refer to others that do
        not exist, Kibana imports none of them.

        Args:
            ndjson: the objects, one on each line.
            overwrite: whether to replace objects that exist already.

        Raises:
            RetriableError: Kibana cannot be reached, or is not ready.
            ConfigurationError: the address, the space or the credentials are wrong.
            FatalError: Kibana is too old, or the user may not import objects.
        """
        self._check_version()
        self._check_space()
        response = self._request(
            "POST",
            f"{self._space_path}/api/saved_objects/_import",
            params={"overwrite": "true" if overwrite else "false"},
            files={"file": ("mastostream.ndjson", ndjson, "application/x-ndjson")},
        )
        if response.status_code != 200:
            raise refusal(response, self._url, has_credentials=self._has_credentials)
        done = _decoded(response, _ImportResponse, self._url)
        failures = tuple(_failure(failed) for failed in done.errors)
        if not done.success and not failures:
            raise FatalError(f"Kibana at {self._url} did not import all, and does not say why")
        stopped = any(failed.error.type in _STOPS_ALL for failed in done.errors)
        return Imported(count=0 if stopped else done.count, failures=failures)

    @property
    def _space_path(self) -> str:
        return f"/s/{self._space}" if self._space else ""

    def _check_version(self) -> None:
        version = self.version()
        match = _VERSION.match(version)
        if match and (int(match[1]), int(match[2])) < OLDEST_KIBANA:
            oldest = ".".join(map(str, OLDEST_KIBANA))
            raise FatalError(
                f"Kibana at {self._url} is {safe(version)}: the dashboard needs {oldest} or later, "
                "and is made for 8.17"
            )

    def _check_space(self) -> None:
        """Check that the space exists, because the import itself does not."""
        if not self._space:
            return
        response = self._request("GET", f"/api/spaces/space/{self._space}")
        if response.status_code == 404:
            raise ConfigurationError(
                f"Kibana at {self._url} has no space {self._space!r}: create it there, or set "
                "kibana.space"
            )
        if response.status_code != 200:
            raise refusal(response, self._url, has_credentials=self._has_credentials)

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        with translated(self._url):
            return self._session.request(
                method,
                self._url + path,
                timeout=self._timeout_s,
                verify=self._verify,
                allow_redirects=False,  # credentials are for this server only
                **arguments,
            )


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"kibana.url: expected such as http://localhost:5601, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("kibana.url: credentials do not belong there, but into .env")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _checked_space(space: str) -> str:
    if space in ("", DEFAULT_SPACE):
        return ""
    if not _SPACE.fullmatch(space):
        raise ConfigurationError(
            f"kibana.space: expected the id of a space (a-z, 0-9, '_', '-'), got {space!r}"
        )
    return space


def _checked_ca_file(ca_file: str) -> str:
    try:
        if ca_file:
            ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"kibana.ca_file: no certificate in PEM can be read from {ca_file}"
        ) from error
    return ca_file


def _authorization(secrets: Mapping[str, str]) -> str | None:
    key, user, password = (secrets.get(name) for name in SECRET_NAMES)
    if key:
        if not _KEY.fullmatch(key):
            raise ConfigurationError("ELASTICSEARCH_API_KEY: expected the encoded key, one word")
        return f"ApiKey {key}"
    if not user and not password:
        return None
    if not user or not password:
        raise ConfigurationError("ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD go together")
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


def _decoded(response: requests.Response, shape: type[_T], url: str) -> _T:
    try:
        return msgspec.json.decode(response.content, type=shape)
    except msgspec.MsgspecError as error:
        raise no_kibana(url) from error


def _failure(failed: _Failed) -> ImportFailure:
    error = failed.error
    exists = error.type == "conflict"
    if exists:
        reason = "it is there already"
    elif error.type == "ambiguous_conflict":
        reason = "several objects there come from it: delete all but one of them"
    elif error.type == "missing_references":
        missing = ", ".join(f"{target.type} {target.id}" for target in error.references)
        reason = f"it refers to what is not there: {missing}"
    elif error.type == "unsupported_type":
        reason = "this Kibana has no saved objects of this type"
    else:
        reason = error.message or error.type
    return ImportFailure(
        type=safe(failed.type), id=safe(failed.id), reason=safe(reason), exists=exists
    )
