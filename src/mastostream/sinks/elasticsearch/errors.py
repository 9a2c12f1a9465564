"""What an error of the client becomes: the one place that knows its exceptions."""

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

__all__ = ["ErrorBody", "of_answer", "said", "translated"]

MOST_CHARACTERS: Final = 500
"""Of a server's reason: it may quote what a stranger wrote, at any length."""

_TRANSIENT: Final = frozenset({408, 409, 429})
_BLOCKS: Final = frozenset({"cluster_block_exception", "index_closed_exception"})
# Compared with the beginning of what the server says: the rest may quote a stranger's text.
_OTHER_MAJOR: Final = ("media_type_header_exception", "Content-Type header [")
_NO_WRITE_INDEX: Final = "illegal_argument_exception: no write index is defined for alias"
_UNTRUSTED: Final = ("certificate_verify_failed", "certificate verify failed", "hostname")

ErrorBody = dict[str, Any]
"""``{"type": ..., "reason": ..., "caused_by": {"reason": ...}}``, as the server sends it."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the client's errors into ours; ``where`` is the server's address, without secrets.

    Raises:
        RetriableError: it cannot be reached, is overloaded, or an index is blocked or missing.
        ConfigurationError: credentials, privileges, certificates, a server of another kind or
            version.
        FatalError: it refuses the request as such.
    """
    try:
        yield
    except ApiError as error:
        raise _of_api(error, where) from error
    except TransportError as error:
        raise _of_transport(error, where) from error


def said(error: ErrorBody | str | None) -> str:
    """Return what the server says is wrong, for a person, at most 500 characters."""
    if not isinstance(error, dict):
        return str(error or "it does not say why")[:MOST_CHARACTERS]
    cause = error.get("caused_by")
    told = [error.get("type"), error.get("reason")]
    told.append(cause.get("reason") if isinstance(cause, dict) else None)
    return ": ".join(str(each) for each in dict.fromkeys(told) if each)[:MOST_CHARACTERS]


def of_answer(status: int, body: ErrorBody | str | None, where: str) -> MastostreamError:
    """Return what an answer with an error means, be it to a request or to a part of it."""
    kind = body.get("type") if isinstance(body, dict) else None
    why = said(body)
    server = f"Elasticsearch at {where}"
    if later := _later(status, kind, why):
        return RetriableError(f"{server} {later}")
    if wrong := _wrong(status, why):
        return ConfigurationError(f"{server} {wrong}")
    return FatalError(f"{server} refuses the request ({status}: {why})")


def _later(status: int, kind: str | None, why: str) -> str | None:
    if kind in _BLOCKS:
        return (
            f"keeps an index closed or read-only ({why}): often its disk is nearly full; free some "
            "space or release the block"
        )
    if kind == "index_not_found_exception" or why.startswith(_NO_WRITE_INDEX):
        return (
            f"lacks an index or its alias ({why}): 'mastostream index --setup --index "
            "elasticsearch' makes what is missing"
        )
    if status in _TRANSIENT or status >= 500:
        return f"cannot take it now ({status}: {why})"
    return None


def _wrong(status: int, why: str) -> str | None:
    if status == 401:
        return (
            "does not know these credentials: set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME "
            "and ELASTICSEARCH_PASSWORD, in .env or the environment"
        )
    if status == 403:
        return (
            f"does not allow this to these credentials ({why}): give their role the privileges "
            "that docs/elasticsearch.md lists"
        )
    if status == 406 or why.startswith(_OTHER_MAJOR):
        return (
            f"does not understand this client ({why}): mastostream needs Elasticsearch 8 and "
            "pip install 'mastostream[elasticsearch]'"
        )
    if status in (404, 405) or status < 400:
        return (
            f"does not answer as it should ({status}: {why}): check elasticsearch.hosts, with the "
            "path if it has one"
        )
    return None


def _of_api(error: ApiError, where: str) -> MastostreamError:
    if isinstance(error, UnsupportedProductError):
        return ConfigurationError(
            f"what answers at {where} is not Elasticsearch: check elasticsearch.hosts"
        )
    body = error.body.get("error") if isinstance(error.body, dict) else error.body
    return of_answer(error.meta.status, body, where)


def _of_transport(error: TransportError, where: str) -> MastostreamError:
    why = str(_root(error))[:MOST_CHARACTERS]
    if isinstance(error, SSLError):
        return _of_tls(why, where)
    if isinstance(error, ConnectionTimeout):
        return RetriableError(f"Elasticsearch at {where} did not answer in time: is it overloaded?")
    if isinstance(error, ClientConnectionError):
        return RetriableError(
            f"cannot reach Elasticsearch at {where} ({why}): check that it runs, and "
            "elasticsearch.hosts: http or https, host, port"
        )
    if isinstance(error, SerializationError):
        return RetriableError(
            f"what answers at {where} sent no JSON: a proxy in front of Elasticsearch, or "
            "something else altogether; check elasticsearch.hosts"
        )
    return RetriableError(f"the connection to Elasticsearch at {where} failed ({why})")


def _root(error: BaseException) -> BaseException:
    """What the system said, below the layers of the client."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _of_tls(why: str, where: str) -> MastostreamError:
    told = why.lower()
    if any(sign in told for sign in _UNTRUSTED):
        return ConfigurationError(
            f"the certificate of {where} is not trusted ({why}): set elasticsearch.ca_file to the "
            "certificate that signed it (http_ca.crt of the server)"
        )
    if "wrong_version_number" in told or "record layer failure" in told:
        return ConfigurationError(
            f"what answers at {where} speaks no TLS ({why}): write http:// instead of https://"
        )
    # A server that goes away during the handshake looks like this as well.
    return RetriableError(f"no secure connection to Elasticsearch at {where} ({why})")
