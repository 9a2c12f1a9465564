"""One thread a server that sends its requests, one after the other, while the collector goes on."""

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
    """One request.

    Attributes:
        purpose: what it is for; handed back with the answer.
        call: sends it.
    """

    purpose: Any
    call: Callable[[MastodonServer], Any]


class Response(NamedTuple):
    """What came of a job.

    Attributes:
        server: the server's host.
        purpose: the job's.
        value: what the call returned, where it did.
        error: what it raised, where it did.
        limits: what the answer said of the request limit.
        received_ms: when it came.
    """

    server: str
    purpose: Any
    value: Any
    error: MastostreamError | None
    limits: RateLimits | None
    received_ms: int


class Worker:
    """Sends one request at a time. Its thread ends with the process, whatever it waits for."""

    def __init__(
        self, server: MastodonServer, put: Callable[[Response], None], now_ms: Callable[[], int]
    ) -> None:
        """Begin.

        Args:
            server: whom to ask; closed by the thread.
            put: takes each answer; called from the thread.
            now_ms: the time.
        """
        self._server = server
        self._put = put
        self._now_ms = now_ms
        self._jobs: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name=f"requests to {server.host}", daemon=True
        )
        self._thread.start()

    def send(self, job: Request) -> None:
        """Send this once those before it are done."""
        self._jobs.put(job)

    def close(self) -> None:
        """Send no more; a second call does nothing."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            value, error, limits = None, None, None
            try:
                try:
                    value = job.call(self._server)
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
                    job.purpose,
                    value,
                    error,
                    limits,
                    self._now_ms(),
                )
            )
        self._server.close()
