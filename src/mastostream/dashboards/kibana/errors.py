"""What Kibana's refusals and the network's errors mean."""

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
_PASSING: Final = frozenset({408, 429})
_CREDENTIALS: Final = (
    "set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, in .env or "
    "the environment"
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what requests raises into ours.

    Args:
        url: Kibana's, for the message.
    """
    try:
        yield
    except requests.RequestException as error:
        raise translate(error, url) from error


def translate(error: requests.RequestException, url: str) -> MastostreamError:
    """Say what an error of the network means."""
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
    """Say that something else answers."""
    return ConfigurationError(f"{url} answers, but not as Kibana does: check kibana.url")


def refusal(answer: requests.Response, url: str, *, known: bool) -> MastostreamError:
    """Say what an answer means that is none of the good ones.

    Args:
        answer: its status is not 200.
        url: Kibana's, for the message.
        known: whether it was told who asks.
    """
    status, said = answer.status_code, _said(answer)
    if status == 401:
        what = "does not accept the credentials" if known else "asks who you are"
        return ConfigurationError(f"Kibana at {url} {what} (401): {_CREDENTIALS}")
    if status == 404:
        return no_kibana(url)
    if 300 <= status < 400:
        where = safe(answer.headers.get("Location", "elsewhere"))
        return ConfigurationError(
            f"{url} sends on to {where} ({status}): set kibana.url to Kibana's own address"
        )
    if status in _PASSING or status >= 500:
        return RetriableError(f"Kibana at {url} {_trouble(status, said)}")
    return FatalError(f"Kibana at {url} {_refused(status, said)}")


def _trouble(status: int, said: str) -> str:
    if status == 503:
        return (
            f"is not ready (503{said}): it is starting, or cannot reach Elasticsearch; try again "
            "in a minute"
        )
    return f"has trouble ({status}{said}): try again later"


def _refused(status: int, said: str) -> str:
    if status == 403:
        return (
            f"forbids it (403{said}): the user or key needs the privilege 'Saved Objects "
            "Management: All' in this space"
        )
    if "more recent version of Kibana" in said:
        return f"is too old for these objects ({status}{said}): upgrade it"
    return f"refuses the request ({status}{said})"


def _said(answer: requests.Response) -> str:
    """Kibana's own words, for the end of a sentence; empty where there are none."""
    try:
        message = msgspec.json.decode(answer.content, type=dict[str, Any]).get("message")
    except msgspec.MsgspecError:
        return ""
    return f": {safe(message)}" if isinstance(message, str) and message else ""
