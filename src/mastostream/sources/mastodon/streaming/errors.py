"""Translates refusals of streams and the errors of aiohttp and the network into ours."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from mastostream.exceptions import FatalError, MastostreamError, RetriableError
from mastostream.sources.mastodon.errors import reset_after_s

__all__ = ["ended", "refusal", "translate", "translated"]

VENDOR_ERRORS: Final = (aiohttp.ClientError, HttpProcessingError, OSError)

_NO_ADDRESS: Final = (
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.RedirectClientError,
    aiohttp.TooManyRedirects,
)
_REASONS: Final = (
    (aiohttp.ClientConnectorDNSError, "there is no server of this name, or no network"),
    (ssl.CertificateError, "its certificate is not valid"),
    ((aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError), "the proxy is in the way"),
    (TimeoutError, "it does not answer in time"),
    (aiohttp.ClientConnectorError, "nothing listens there"),
)


def ended(host: str) -> RetriableError:
    """Return the error for a stream that the server closed properly.

    Mastodon does so only when the token is revoked.
    """
    return RetriableError(f"{host} ended the stream (a revoked token looks like this)")


def refusal(host: str, status: int, headers: Any, now_ms: int) -> MastostreamError:
    """Return the error for a response that is not a stream.

    Args:
        host: the server, for the message.
        status: the response's HTTP status.
        headers: the response's headers.
        now_ms: the time if the response has no date, milliseconds since the epoch.
    """
    if status in (401, 403):
        return FatalError(
            f"{host} answered {status}: its stream wants a valid token with the scope 'read': "
            "put one into .env with 'mastostream login'"
        )
    if status == 429:
        wait_s = reset_after_s(headers, datetime.fromtimestamp(now_ms / 1000, UTC))
        return RetriableError(f"{host} allows no more streams for {wait_s:.0f} s (429)", wait_s)
    if status >= 500 or status == 408:
        return RetriableError(f"{host} has trouble of its own ({status})")
    return FatalError(
        f"{host} answered {status}: it has no such stream; 'mode = \"poll\"' reads its pages"
    )


@contextmanager
def translated(host: str, now_ms: Callable[[], int]) -> Iterator[None]:
    """Translate errors of aiohttp and the network into ours.

    The cause of our error holds the request's headers, with the token: ``StreamConnection.cut``
    removes it.
    """
    try:
        yield
    except VENDOR_ERRORS as error:
        raise translate(error, host, now_ms()) from error


def translate(error: Exception, host: str, now_ms: int) -> MastostreamError:
    """Return the error of this package that stands for an error of aiohttp or the network.

    A failed WebSocket handshake gives the error of :func:`refusal`. An address that is not one of
    a stream gives a FatalError. All others give a RetriableError.

    Args:
        error: the error of aiohttp or the network.
        host: the server, for the message.
        now_ms: the time if the response has no date, milliseconds since the epoch.
    """
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return refusal(host, error.status, error.headers or {}, now_ms)
    if isinstance(error, _NO_ADDRESS):
        return FatalError(f"{host} is no address of a stream: check the server's name")
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return RetriableError(f"{host} cannot be reached: {reason}")
    return RetriableError(f"{host} cannot be reached: the connection broke")
