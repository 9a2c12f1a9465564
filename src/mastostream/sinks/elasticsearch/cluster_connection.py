"""Connects to an Elasticsearch server and checks its version."""

import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from elasticsearch import Elasticsearch
from elasticsearch import __version__ as CLIENT_VERSION  # noqa: N812 - it is a constant

from mastostream.config import ElasticsearchSettings
from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.sinks.elasticsearch.errors import translated

__all__ = ["SECRETS", "address", "check_version", "connect"]

SECRETS: Final = ("ELASTICSEARCH_API_KEY", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD")
"""The variables with credentials, in ``.env`` or the environment."""

MAJOR: Final = 8
REQUEST_TIMEOUT_S: Final = 30.0
_PORTS: Final = {"http": 80, "https": 443}


def connect(settings: ElasticsearchSettings, secrets: Mapping[str, str]) -> Elasticsearch:
    """Return a client, without sending a request.

    The client does not retry a request: the runner repeats the whole step.

    Raises:
        ConfigurationError: a host is not a URL or holds a password, the certificate cannot be read,
            the credentials are incomplete, or the client has another major version. No message
            shows a secret.
    """
    if CLIENT_VERSION[0] != MAJOR:
        raise ConfigurationError(
            f"the package elasticsearch {_client_version()} is installed, mastostream "
            f"needs {MAJOR}.x: pip install 'mastostream[elasticsearch]'"
        )
    urls = [_url(host) for host in settings.hosts]
    if not urls:
        raise ConfigurationError("elasticsearch.hosts is empty: name at least one URL")
    options: dict[str, Any] = _credentials(secrets)
    if settings.ca_file and any(url.scheme == "https" for url in urls):
        _check_certificate(settings.ca_file)
        options["ca_certs"] = settings.ca_file
    hosts = [f"{url.scheme}://{_with_port(url)}{url.path.rstrip('/')}" for url in urls]
    return Elasticsearch(
        hosts,
        request_timeout=REQUEST_TIMEOUT_S,
        max_retries=0,
        retry_on_timeout=False,
        retry_on_status=(),
        **options,
    )


def address(settings: ElasticsearchSettings) -> str:
    """Return the hosts for messages, separated by commas.

    Raises:
        ConfigurationError: a host is not a URL or holds a password; the message does not show it.
    """
    return ", ".join(_url(host).geturl() for host in settings.hosts)


def check_version(client: Elasticsearch, where: str) -> str:
    """Check that this client supports the version of every node; return the first node's version.

    Args:
        client: a client that is connected to the server.
        where: the server's address for messages, without secrets.

    Raises:
        ConfigurationError: this client does not support the version of a node, or the credentials
            are wrong.
        RetriableError: the server cannot be reached now, or has no node yet.
    """
    with translated(where):
        # Not from GET /: a server that was built for tests lacks it.
        response = client.nodes.info(filter_path="nodes.*.version")
    versions = [str(node["version"]) for node in response.get("nodes", {}).values()]
    if not versions:
        raise RetriableError(f"Elasticsearch at {where} has no node yet: wait until it has started")
    unsupported = (version for version in versions if not version.startswith(f"{MAJOR}."))
    version = next(unsupported, versions[0])
    if not version.startswith(f"{MAJOR}."):
        raise ConfigurationError(
            f"Elasticsearch at {where} is version {version}; this client "
            f"({_client_version()}) speaks to version {MAJOR} only: use a server of "
            "that version"
        )
    return version


def _check_certificate(file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use elasticsearch.ca_file {file} ({error}): expected a PEM file"
        ) from error


def _client_version() -> str:
    return ".".join(map(str, CLIENT_VERSION))


def _url(host: str) -> SplitResult:
    expected = "elasticsearch.hosts: expected URLs such as http://localhost:9200"
    try:
        url = urlsplit(host)
        usable = url.scheme in _PORTS and bool(url.hostname) and url.port != 0
    except ValueError:  # the error's text may hold the password
        raise ConfigurationError(f"{expected}; one of them is none") from None
    if url.username is not None or url.password is not None or "@" in host:
        raise ConfigurationError(
            "elasticsearch.hosts: a URL holds a user name or a password; put them into .env as "
            "ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"
        )
    if not usable:
        raise ConfigurationError(f"{expected}, got {host!r}")
    if url.query or url.fragment:
        raise ConfigurationError(f"{expected}; one of them has a '?' or a '#'")
    return url


def _with_port(url: SplitResult) -> str:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port or _PORTS[url.scheme]}"


def _credentials(secrets: Mapping[str, str]) -> dict[str, Any]:
    key, name, password = (secrets.get(variable) for variable in SECRETS)
    if key:
        if not key.isascii() or not key.isprintable():  # HTTP's own error would show the key
            raise ConfigurationError("ELASTICSEARCH_API_KEY holds characters that no key has")
        return {"api_key": key}
    if bool(name) != bool(password):
        raise ConfigurationError(
            "ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD go together: one of them is missing"
        )
    return {"basic_auth": (name, password)} if name else {}
