"""Translation of Kibana's error responses, and of network errors, to this package's exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import requests
from requests import exceptions

from mastostream.dashboards.text import safe
from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)

__all__ = ["no_kibana", "refusal", "translate", "translated"]

_WRONG_ADDRESS: Final = (
    exceptions.MissingSchema,
    exceptions.InvalidSchema,
    exceptions.InvalidURL,
    exceptions.InvalidProxyURL,
)
# Statuses that a retry may overcome: request timeout, too many requests.
_TRANSIENT: Final = frozenset({408, 429})
_CREDENTIALS: Final = (
    "set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, in .env or "
    "the environment"
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise the exceptions of ``requests`` as those of this package, by :func:`translate`.

    Args:
        url: Kibana's address, for the message.

    Raises:
        ConfigurationError: the address or the credentials are wrong, or TLS failed.
        RetriableError: Kibana cannot be reached.
    """
    try:
        yield
    except requests.RequestException as error:
        raise translate(error, url) from error


def translate(error: requests.RequestException, url: str) -> MastostreamError:
    """Return this package's exception for a network error; ``url`` is for the message."""
    if isinstance(error, exceptions.InvalidHeader):
        return ConfigurationError(f"no request can carry the credentials: {_CREDENTIALS}")
    if isinstance(error, _WRONG_ADDRESS):
        return ConfigurationError(f"Kibana cannot be asked at {url}: check kibana.url")
    if isinstance(error, exceptions.SSLError):
        return ConfigurationError(f"Kibana at {url} cannot be trusted: {_tls_reason(error)}")
    return RetriableError(f"Kibana at {url} cannot be reached: {_reason(error)}")


def _tls_reason(error: BaseException) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            "its certificate is signed by nobody known here, or is for another name: set "
            "kibana.ca_file to the certificate that signed it"
        )
    return "it does not speak TLS as expected: check whether kibana.url begins with http or https"


def _reason(error: requests.RequestException) -> str:
    text = str(error)
    if isinstance(error, exceptions.Timeout):
        return "it does not answer in time, try again later"
    if isinstance(error, exceptions.ProxyError):
        return "the proxy on the way does not pass it on"
    if "NameResolutionError" in text or "Name or service not known" in text:
        return "there is no server of this name, or no network: check kibana.url"
    if "Connection refused" in text:
        return "nothing listens there: start it, or check kibana.url"
    return "the connection broke: try again, or check whether kibana.url begins with https"


def no_kibana(url: str) -> ConfigurationError:
    """Return the error for a server that is not Kibana."""
    return ConfigurationError(f"{url} answers, but not as Kibana does: check kibana.url")


def refusal(response: requests.Response, url: str, *, has_credentials: bool) -> MastostreamError:
    """Return the error for a response with another status than 200.

    Args:
        response: the response.
        url: Kibana's address, for the message.
        has_credentials: whether the request had credentials.
    """
    status, quote = response.status_code, _quoted_message(response)
    if status == 401:
        what = "does not accept the credentials" if has_credentials else "asks who you are"
        return ConfigurationError(f"Kibana at {url} {what} (401): {_CREDENTIALS}")
    if status == 404:
        return no_kibana(url)
    if 300 <= status < 400:
        where = safe(response.headers.get("Location", "elsewhere"))
        return ConfigurationError(
            f"{url} sends on to {where} ({status}): set kibana.url to Kibana's own address"
        )
    if status in _TRANSIENT or status >= 500:
        return RetriableError(f"Kibana at {url} {_trouble(status, quote)}")
    return FatalError(f"Kibana at {url} {_refused(status, quote)}")


def _trouble(status: int, quote: str) -> str:
    if status == 503:
        return (
            f"is not ready (503{quote}): it is starting, or cannot reach Elasticsearch; try again "
            "in a minute"
        )
    return f"has trouble ({status}{quote}): try again later"


def _refused(status: int, quote: str) -> str:
    if status == 403:
        return (
            f"forbids it (403{quote}): the user or key needs the privilege 'Saved Objects "
            "Management: All' in this space"
        )
    if "more recent version of Kibana" in quote:
        return f"is too old for these objects ({status}{quote}): upgrade it"
    return f"refuses the request ({status}{quote})"


def _quoted_message(response: requests.Response) -> str:
    """Return ``: `` and the message in Kibana's response, or empty text if there is none."""
    try:
        message = msgspec.json.decode(response.content, type=dict[str, Any]).get("message")
    except msgspec.MsgspecError:
        return ""
    return f": {safe(message)}" if isinstance(message, str) and message else ""
