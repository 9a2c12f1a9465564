"""Translates the Elasticsearch client's exceptions into those of :mod:`mastostream.exceptions`.

No other module handles the client's exceptions in general.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from elastic_transport import ApiError
from elasticsearch import ConnectionError as ClientConnectionError
from elasticsearch import (
    ConnectionTimeout,
    SerializationError,
    SSLError,
    TransportError,
    UnsupportedProductError,
)

from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)

__all__ = ["ErrorBody", "error_of_response", "reason_text", "translated"]

MAX_REASON_CHARACTERS: Final = 500
"""The length to which a server's reason is cut: it may quote a stranger's text of any length."""

_TRANSIENT: Final = frozenset({408, 409, 429})
_BLOCKS: Final = frozenset({"cluster_block_exception", "index_closed_exception"})
# The next two are compared with the beginning of the server's reason only: the rest of it may quote
# a stranger's text.
_OTHER_MAJOR: Final = ("media_type_header_exception", "Content-Type header [")
_NO_WRITE_INDEX: Final = "illegal_argument_exception: no write index is defined for alias"
_UNTRUSTED: Final = ("certificate_verify_failed", "certificate verify failed", "hostname")

ErrorBody = dict[str, Any]
"""The server's ``{"type": ..., "reason": ..., "caused_by": {"reason": ...}}``, parsed."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Translate the client's errors that the block raises.

    Args:
        where: the server's address for messages, without secrets.

    Raises:
        RetriableError: the server cannot be reached or is overloaded, or an index is blocked or
            missing.
        ConfigurationError: wrong credentials, privileges or certificates, or a server of another
            kind or version.
        FatalError: the server refuses this request for another reason.
    """
    try:
        yield
    except ApiError as error:
        raise _from_api_error(error, where) from error
    except TransportError as error:
        raise _from_transport_error(error, where) from error


def reason_text(error: ErrorBody | str | None) -> str:
    """Return the server's reason for an error, for a person, in at most 500 characters."""
    if not isinstance(error, dict):
        return str(error or "it does not say why")[:MAX_REASON_CHARACTERS]
    cause = error.get("caused_by")
    parts = [error.get("type"), error.get("reason")]
    parts.append(cause.get("reason") if isinstance(cause, dict) else None)
    return ": ".join(str(part) for part in dict.fromkeys(parts) if part)[:MAX_REASON_CHARACTERS]


def error_of_response(status: int, body: ErrorBody | str | None, where: str) -> MastostreamError:
    """Return the error that a response stands for.

    Args:
        status: the HTTP status of the response, or of one item of a bulk response.
        body: the ``error`` of the response or of the item.
        where: the server's address for messages, without secrets.
    """
    kind = body.get("type") if isinstance(body, dict) else None
    reason = reason_text(body)
    server = f"Elasticsearch at {where}"
    if message := _retriable_message(status, kind, reason):
        return RetriableError(f"{server} {message}")
    if message := _configuration_message(status, reason):
        return ConfigurationError(f"{server} {message}")
    return FatalError(f"{server} refuses the request ({status}: {reason})")


def _retriable_message(status: int, kind: str | None, reason: str) -> str | None:
    """Return the message of a RetriableError, or ``None`` for an error of another class."""
    if kind in _BLOCKS:
        return (
            f"keeps an index closed or read-only ({reason}): often its disk is nearly full; free "
            "some space or release the block"
        )
    if kind == "index_not_found_exception" or reason.startswith(_NO_WRITE_INDEX):
        return (
            f"lacks an index or its alias ({reason}): 'mastostream index --setup --index "
            "elasticsearch' makes what is missing"
        )
    if status in _TRANSIENT or status >= 500:
        return f"cannot take it now ({status}: {reason})"
    return None


def _configuration_message(status: int, reason: str) -> str | None:
    """Return the message of a ConfigurationError, or ``None`` for an error of another class."""
    if status == 401:
        return (
            "does not know these credentials: set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME "
            "and ELASTICSEARCH_PASSWORD, in .env or the environment"
        )
    if status == 403:
        return (
            f"does not allow this to these credentials ({reason}): give their role the privileges "
            "that docs/elasticsearch.md lists"
        )
    if status == 406 or reason.startswith(_OTHER_MAJOR):
        return (
            f"does not understand this client ({reason}): mastostream needs Elasticsearch 8 and "
            "pip install 'mastostream[elasticsearch]'"
        )
    if status in (404, 405) or status < 400:
        return (
            f"does not answer as it should ({status}: {reason}): check elasticsearch.hosts, with "
            "the path if it has one"
        )
    return None


def _from_api_error(error: ApiError, where: str) -> MastostreamError:
    if isinstance(error, UnsupportedProductError):
        return ConfigurationError(
            f"what answers at {where} is not Elasticsearch: check elasticsearch.hosts"
        )
    body = error.body.get("error") if isinstance(error.body, dict) else error.body
    return error_of_response(error.meta.status, body, where)


def _from_transport_error(error: TransportError, where: str) -> MastostreamError:
    reason = str(_root_cause(error))[:MAX_REASON_CHARACTERS]
    if isinstance(error, SSLError):
        return _from_tls_error(reason, where)
    if isinstance(error, ConnectionTimeout):
        return RetriableError(f"Elasticsearch at {where} did not answer in time: is it overloaded?")
    if isinstance(error, ClientConnectionError):
        return RetriableError(
            f"cannot reach Elasticsearch at {where} ({reason}): check that it runs, and "
            "elasticsearch.hosts: http or https, host, port"
        )
    if isinstance(error, SerializationError):
        return RetriableError(
            f"what answers at {where} sent no JSON: a proxy in front of Elasticsearch, or "
            "something else altogether; check elasticsearch.hosts"
        )
    return RetriableError(f"the connection to Elasticsearch at {where} failed ({reason})")


def _root_cause(error: BaseException) -> BaseException:
    """Return the operating system's error, which the layers of the client have wrapped."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _from_tls_error(reason: str, where: str) -> MastostreamError:
    text = reason.lower()
    if any(sign in text for sign in _UNTRUSTED):
        return ConfigurationError(
            f"the certificate of {where} is not trusted ({reason}): set elasticsearch.ca_file to "
            "the certificate that signed it (http_ca.crt of the server)"
        )
    if "wrong_version_number" in text or "record layer failure" in text:
        return ConfigurationError(
            f"what answers at {where} speaks no TLS ({reason}): write http:// instead of https://"
        )
    # A server that ends during the handshake causes such an error too, so this one is retriable.
    return RetriableError(f"no secure connection to Elasticsearch at {where} ({reason})")
