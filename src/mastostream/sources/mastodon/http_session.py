"""Requests to one server, with one token or none.

Mastodon.py is not used for them: before a timeline it asks the server about itself, unseen and so
outside of every budget, it takes no ``any[]``, and it makes an object of each member of a status,
which takes twenty times as long as all else that is done with a page.
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
"""A page of 40 statuses takes 0.2 MB; one status of 5 MB has been seen."""


class HttpSession:
    """Asks one server, and keeps the last answer. Used by one thread."""

    def __init__(
        self, server: str, *, token: str | None = None, contact: str = "", timeout_s: float = 20.0
    ) -> None:
        """Connect to nothing yet.

        Args:
            server: a host name or a URL.
            token: never shown, and sent to no other host, wherever this one redirects to.
            contact: how the server's owner reaches you, sent in the User-Agent.
            timeout_s: how long an answer may take.

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
        """Ask, and return the answer, whatever it is.

        Args:
            path: from the server's root.
            base: another address of the server than its own.
            with_token: whether to send the token, where there is one.
            options: as for ``requests``.

        Raises:
            RetriableError: there is no answer.
        """
        self.last = None

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if self._token is not None and with_token:
                request.headers["Authorization"] = f"Bearer {self._token}"
            return request  # without this, requests would look into ~/.netrc

        options.setdefault("timeout", self._timeout_s)
        wants_stream = options.pop("stream", False)
        with translated(self.host, lambda: self.last):
            answer = self._session.get(
                (base or self.url) + path, auth=authorize, stream=True, **options
            )
            if not wants_stream:
                answer = self._whole(answer)
        self.last = answer
        return answer

    def _whole(self, answer: requests.Response) -> requests.Response:
        """Read the body, within a time and a size: requests knows neither for a whole answer."""
        end_s = time.monotonic() + self._timeout_s
        body = BytesIO()
        with answer:
            for chunk in answer.iter_content(65_536):
                body.write(chunk)
                if body.tell() > LARGEST_BYTES:
                    raise RetriableError(f"{self.host} sent more than {LARGEST_BYTES} bytes")
                if time.monotonic() > end_s:
                    raise RetriableError(f"{self.host} cannot be reached: its answer never ends")
        whole = requests.Response()
        whole.status_code, whole.headers, whole.url = answer.status_code, answer.headers, answer.url
        body.seek(0)
        whole.raw = body
        return whole

    @property
    def limits(self) -> RateLimits | None:
        """What the last answer said of the request limit."""
        if self.last is None or self.last.status_code == 429:
            return None  # a 429 may speak of another limit than the one that the others count
        headers = self.last.headers
        limit, remaining = (headers.get(f"X-RateLimit-{n}", "") for n in ("Limit", "Remaining"))
        if not (limit.isdecimal() and remaining.isdecimal()):
            return None
        return RateLimits(int(limit), int(remaining), reset_after_s(headers, datetime.now(UTC)))

    def refusal(self, answer: requests.Response) -> MastostreamError:
        """Say what an answer that is none of the good ones means."""
        return refusal(self.host, answer)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
