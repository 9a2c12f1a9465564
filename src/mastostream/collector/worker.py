"""A worker thread for each server: it sends requests one by one while the collector goes on."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from mastostream.exceptions import FatalError, MastostreamError
from mastostream.ports.source import MastodonServer, RateLimits

__all__ = ["Request", "Response", "Worker"]

_logger = logging.getLogger(__name__)


class Request(NamedTuple):
    """A request to a server.

    Attributes:
        purpose: what the request is for; handed back with the response.
        call: sends the request and returns the result.
    """

    purpose: Any
    call: Callable[[MastodonServer], Any]


class Response(NamedTuple):
    """The response to a request.

    Attributes:
        server: the server's host.
        purpose: the purpose of the request.
        value: the result of the call; ``None`` if it failed.
        error: the error of the call; ``None`` if it succeeded.
        limits: the rate limit that the response announced, if it did.
        received_ms: when it arrived, milliseconds since the epoch.
    """

    server: str
    purpose: Any
    value: Any
    error: MastostreamError | None
    limits: RateLimits | None
    received_ms: int


class Worker:
    """Sends one request at a time, in a daemon thread: it never keeps the process from ending."""

    def __init__(
        self, server: MastodonServer, put: Callable[[Response], None], now_ms: Callable[[], int]
    ) -> None:
        """Start the thread.

        Args:
            server: the server to send to; closed by the thread at its end.
            put: takes every response; called from the thread.
            now_ms: returns the time, milliseconds since the epoch.
        """
        self._server = server
        self._put = put
        self._now_ms = now_ms
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name=f"requests to {server.host}", daemon=True
        )
        self._thread.start()

    def send(self, request: Request) -> None:
        """Queue a request. Requests are sent one by one, in the order of these calls."""
        self._requests.put(request)

    def close(self) -> None:
        """Finish the queued requests, then close the server and stop. Does not wait for that.

        A second call does nothing.
        """
        self._requests.put(None)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            value, error, limits = None, None, None
            try:
                try:
                    value = request.call(self._server)
                finally:
                    limits = self._server.limits
            except MastostreamError as known:
                error = known
            except Exception as unknown:
                _logger.exception("%s: a request ended by an unexpected error", self._server.host)
                error = FatalError(f"{self._server.host}: {type(unknown).__name__}: {unknown}")
            self._put(
                Response(
                    self._server.host,
                    request.purpose,
                    value,
                    error,
                    limits,
                    self._now_ms(),
                )
            )
        self._server.close()
