"""Refresh of counts: which posts to request next, and how to understand the response."""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from mastostream.collector.backoff import backoff_s
from mastostream.collector.dedup import DeleteObserved
from mastostream.collector.observation import KeyBy, Observation, identify
from mastostream.collector.refresh_queue import Due
from mastostream.collector.state_store import CollectorStateStore
from mastostream.collector.worker import Request, Response
from mastostream.exceptions import RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.source import MastodonServer

__all__ = ["RefreshRequest", "Refresher"]

_PATIENCE_MS: Final = 30_000
"""How long a due post waits for others to share a request with."""

_LATE_MS: Final = 300_000
"""Refreshes are late once a post has been due for longer than this."""

_REQUEST_AGAIN_MS: Final = 120_000
"""A requested post is due again after this long, unless a response was logged before."""

_logger = logging.getLogger(__name__)


class RefreshRequest(NamedTuple):
    """The purpose of a request that refreshes the counts of these posts."""

    due: Sequence[Due]


class Refresher:
    """Refreshes the counts of one server's posts. Used only by the collector's thread."""

    def __init__(
        self,
        server: MastodonServer,
        *,
        state_store: CollectorStateStore,
        clock: Clock,
        key_by: KeyBy,
    ) -> None:
        self.error: str | None = None
        self.refreshed: list[str] = []  # keys that the last response settled
        self._server = server
        self._state_store = state_store
        self._clock = clock
        self._key_by: KeyBy = key_by
        self._failures = 0
        self._resume_s = 0.0
        self._one_by_one: list[Due] = []

    def due_s(self, now_s: float, now_ms: int) -> float | None:
        """Return when the next request is due, by the monotonic clock; ``None`` if no post is."""
        if self.error is not None:
            return None
        if self._one_by_one or self._resume_s > now_s:
            return self._resume_s
        refreshes, most = self._state_store.refreshes, self._server.most_ids
        oldest = refreshes.due(self._server.host, now_ms - _PATIENCE_MS, 1)
        if oldest or len(refreshes.due(self._server.host, now_ms, most)) == most:
            return now_s
        return None

    def is_late(self, now_ms: int) -> bool:
        """Whether refreshes have fallen behind."""
        return bool(self._state_store.refreshes.due(self._server.host, now_ms - _LATE_MS, 1))

    def make_request(self, _: float, now_ms: int) -> Request:
        """Make the next request."""
        if self._one_by_one:
            single = self._one_by_one.pop()
            return Request(RefreshRequest([single]), lambda server: server.statuses([single.id]))
        due = self._state_store.refreshes.due(self._server.host, now_ms, self._server.most_ids)
        self._state_store.refreshes.postpone((post.key for post in due), now_ms + _REQUEST_AGAIN_MS)
        ids = [post.id for post in due]
        return Request(RefreshRequest(due), lambda server: server.statuses(ids))

    def take(self, due: Sequence[Due], response: Response) -> list[Observation | DeleteObserved]:
        """Return the observations in a response. Posts that it lacks count as deleted."""
        self.refreshed = []
        if response.error is not None:
            self._failed(response)
            return []
        self._failures = 0
        if response.value is None:  # the server takes fewer ids in one request
            self._state_store.expedite([post.key for post in due], response.received_ms)
            return []
        observations: list[Observation | DeleteObserved] = [
            identify(
                raw,
                instance=self._server.host,
                key_by=self._key_by,
                event="refresh",
                observed_ms=response.received_ms,
            )
            for raw in response.value
        ]
        shown_ids = {post.post_id for post in observations if isinstance(post, Observation)}
        missing = [post for post in due if post.id not in shown_ids]
        if len(missing) == len(due) > 1:
            # All posts deleted at once is more likely a fault: request them one by one.
            self._one_by_one = list(missing)
            return []
        self.refreshed = [post.key for post in due]
        host, now_ms = self._server.host, response.received_ms
        return observations + [DeleteObserved(host, post.id, now_ms, post.key) for post in missing]

    def _failed(self, response: Response) -> None:
        if isinstance(response.error, RetriableError):
            self._failures += 1
            self._resume_s = self._clock.monotonic_s() + backoff_s(self._failures)
            return
        self.error = str(response.error)
        _logger.error("%s; counts are not read again from here on", response.error)
