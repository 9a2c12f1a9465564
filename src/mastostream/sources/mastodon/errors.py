"""Translates a server's refusals and the errors of Mastodon.py and requests into ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
import requests
from mastodon import errors

from mastostream.exceptions import FatalError, MastostreamError, RetriableError

__all__ = ["refusal", "reset_after_s", "translate", "translated"]

LONGEST_WAIT_S: Final = 900.0
"""The longest period of Mastodon's rate limits is 15 minutes."""

_DEFAULT_WAIT_S: Final = 60.0
"""The wait after a 429 that does not name one."""

_PASSING: Final = frozenset({408, 421, 423, 425})
"""Status codes after which a retry may succeed (RFC 9110, RFC 4918, RFC 8470)."""

_ADVICE: Final = {
    401: "it wants a valid token: get one with 'mastostream login', or check ACCESS_TOKEN in .env",
    403: "it forbids this to the token that is used: its scope may be too small",
    404: "it has no such page: check the server's name and the hashtag",
    410: "it is gone",
    422: "it does not accept the request: check the hashtag",
}


def reset_after_s(headers: Any, now: datetime) -> float:
    """Return how many seconds a 429 asks to wait, at most 15 minutes; 60 s if it does not say.

    Reads ``Retry-After`` (RFC 9110) or Mastodon's ``X-RateLimit-Reset``. Times are relative to the
    server's clock (``Date``), or to ``now`` if it sends none.
    """
    date = _time(headers.get("Date", "")) or now
    for name in ("Retry-After", "X-RateLimit-Reset"):
        text = headers.get(name, "").strip()
        if name == "Retry-After" and text.isdecimal():
            return min(float(text), LONGEST_WAIT_S)
        moment = _time(text)
        if moment is not None:
            return min(max(1.0, (moment - date).total_seconds()), LONGEST_WAIT_S)
    return _DEFAULT_WAIT_S


def _time(text: str) -> datetime | None:
    if text.isascii() and text.isdecimal():
        return datetime.fromtimestamp(min(int(text[:20]), 2**33), UTC)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


@contextmanager
def translated(host: str, last: Any) -> Iterator[None]:
    """Translate errors of Mastodon.py, requests and msgspec that the block raises.

    Args:
        host: the server, for the message.
        last: returns the last response, or ``None``.

    Raises:
        RetriableError, FatalError: as :func:`translate` decides. This package's own errors pass
            unchanged.
    """
    try:
        yield
    except MastostreamError:
        raise
    except (errors.MastodonError, requests.RequestException, msgspec.MsgspecError) as error:
        raise translate(error, host, last()) from error


def translate(error: Exception, host: str, response: Any) -> MastostreamError:
    """Return the error of this package that stands for a library's error.

    It is a RetriableError if there is no connection, the rate limit is exceeded, the server has an
    error of its own or the response cannot be decoded. It is a FatalError if the server refuses.

    Args:
        error: the error of Mastodon.py, requests or msgspec.
        host: the server, for the message.
        response: the last response, or ``None``. Its status decides if it is 300 or more.
    """
    status = getattr(response, "status_code", None)
    if status is not None and status >= 300:
        return refusal(host, response)
    if isinstance(error, errors.MastodonRatelimitError):
        return _too_many(host, _DEFAULT_WAIT_S)
    if isinstance(error, (errors.MastodonNetworkError, requests.RequestException)):
        return RetriableError(f"{host} cannot be reached: {_reason(error)}")
    if isinstance(error, errors.MastodonServerError):
        return RetriableError(f"{host} has trouble of its own (a server error)")
    if isinstance(error, msgspec.MsgspecError) or status is not None:
        return RetriableError(f"{host} sent an answer that was cut or is no JSON")
    statuses = {errors.MastodonUnauthorizedError: 401, errors.MastodonNotFoundError: 404}
    return _refused(host, next((n for kind, n in statuses.items() if isinstance(error, kind)), 0))


def refusal(host: str, response: requests.Response) -> MastostreamError:
    """Return the error for a response that is not a success.

    It is a RetriableError for 408, 421, 423, 425, 429 and from 500 on, else a FatalError.
    """
    if response.status_code == 429:
        return _too_many(host, reset_after_s(response.headers, datetime.now(UTC)))
    if response.status_code >= 500 or response.status_code in _PASSING:
        return RetriableError(f"{host} has trouble of its own ({response.status_code})")
    return _refused(host, response.status_code)


def _too_many(host: str, wait_s: float) -> RetriableError:
    return RetriableError(f"{host} allows no more requests for {wait_s:.0f} s (429)", wait_s)


def _refused(host: str, status: int) -> FatalError:
    advice = _ADVICE.get(status, "it refuses the request")
    return FatalError(f"{host} answered {status or 'with an error'}: {advice}")


def _reason(error: BaseException) -> str:
    """Return the innermost cause in short: the texts of the outer ones repeat the URL."""
    text = str(error)
    for sign, reason in (
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not valid"),
        ("NameResolutionError", "there is no server of this name, or no network"),
        ("Name or service not known", "there is no server of this name, or no network"),
        ("Connection refused", "nothing listens there"),
        ("timed out", "it does not answer in time"),
    ):
        if sign in text:
            return reason
    return "the connection broke"
