"""HTTP requests to one server, with one token or without.

Mastodon.py is not used for them, for three reasons. Before it reads a timeline it requests the
server's description, which no budget counts. It does not support ``any[]``. And it makes an object
of every member of a status, which takes twenty times as long as all other work on a page.
"""

import time
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final, Self
from urllib.parse import urlsplit

import requests

from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.ports.source import RateLimits
from mastostream.sources.mastodon.address import server_url, user_agent
from mastostream.sources.mastodon.errors import refusal, reset_after_s, translated

__all__ = ["HttpSession"]

LARGEST_BYTES: Final = 64 * 2**20
"""The largest body that is read. A page of 40 statuses takes 0.2 MB; one status took 5 MB."""


class HttpSession:
    """Sends requests to one server, and keeps the last response. Used by one thread."""

    def __init__(
        self, server: str, *, token: str | None = None, contact: str = "", timeout_s: float = 20.0
    ) -> None:
        """Open no connection yet.

        Args:
            server: a host name or a URL.
            token: the access token. It is never shown, nor sent to other hosts after a redirect.
            contact: how the server's owner reaches you, sent in the User-Agent.
            timeout_s: how long a response may take.

        Raises:
            ConfigurationError: ``server`` is no host name or URL.
        """
        self.url = server_url(server)
        self.host = urlsplit(self.url).netloc
        self.last: requests.Response | None = None
        self._timeout_s = timeout_s
        self._token = token
        self._session = requests.Session()
        self._session.headers["User-Agent"] = user_agent(contact)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(
        self, path: str, *, base: str = "", with_token: bool = True, **options: Any
    ) -> requests.Response:
        """Send a GET request, and return the response, whatever its status.

        Args:
            path: the path from the server's root.
            base: another base URL than the server's own.
            with_token: whether to send the token, if there is one.
            options: options of ``requests.get``.

        Raises:
            RetriableError: there is no response, or it is too long.
        """
        self.last = None

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if self._token is not None and with_token:
                request.headers["Authorization"] = f"Bearer {self._token}"
            return request  # without an auth function, requests would read ~/.netrc

        options.setdefault("timeout", self._timeout_s)
        wants_stream = options.pop("stream", False)
        with translated(self.host, lambda: self.last):
            response = self._session.get(
                (base or self.url) + path, auth=authorize, stream=True, **options
            )
            if not wants_stream:
                response = self._whole(response)
        self.last = response
        return response

    def _whole(self, response: requests.Response) -> requests.Response:
        """Read the body within a time and a size: requests limits neither for a whole body."""
        end_s = time.monotonic() + self._timeout_s
        body = BytesIO()
        with response:
            for chunk in response.iter_content(65_536):
                body.write(chunk)
                if body.tell() > LARGEST_BYTES:
                    raise RetriableError(f"{self.host} sent more than {LARGEST_BYTES} bytes")
                if time.monotonic() > end_s:
                    raise RetriableError(f"{self.host} cannot be reached: its answer never ends")
        whole = requests.Response()
        whole.status_code, whole.headers, whole.url = (
            response.status_code,
            response.headers,
            response.url,
        )
        body.seek(0)
        whole.raw = body
        return whole

    @property
    def limits(self) -> RateLimits | None:
        """The rate limit that the last response announced, if it did."""
        if self.last is None or self.last.status_code == 429:
            return None  # a 429 may be about another limit than the usual headers
        headers = self.last.headers
        limit, remaining = (headers.get(f"X-RateLimit-{n}", "") for n in ("Limit", "Remaining"))
        if not (limit.isdecimal() and remaining.isdecimal()):
            return None
        return RateLimits(int(limit), int(remaining), reset_after_s(headers, datetime.now(UTC)))

    def refusal(self, response: requests.Response) -> MastostreamError:
        """Return the error for a response that is not a success."""
        return refusal(self.host, response)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
