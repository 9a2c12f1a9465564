"""Counts are read again: which posts are asked for next, and what the answer means."""

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
"""How long posts wait for others to share a request with."""

_LATE_MS: Final = 300_000
_ASK_AGAIN_MS: Final = 120_000
"""After so long, posts that were asked for are due again, if no answer was logged."""

_logger = logging.getLogger(__name__)


class RefreshRequest(NamedTuple):
    """The purpose of a request: these posts' counts."""

    due: Sequence[Due]


class Refresher:
    """For one server. Used by the collector's thread alone."""

    def __init__(
        self,
        server: MastodonServer,
        *,
        state_store: CollectorStateStore,
        clock: Clock,
        key_by: KeyBy,
    ) -> None:
        self.error: str | None = None
        self.settled: list[str] = []  # whom the last answer answered for
        self._server = server
        self._state_store = state_store
        self._clock = clock
        self._key_by: KeyBy = key_by
        self._failures = 0
        self._resume_s = 0.0
        self._singly: list[Due] = []

    def due_s(self, now_s: float, now_ms: int) -> float | None:
        """Return when the next request may go; ``None``: nothing waits."""
        if self.error is not None:
            return None
        if self._singly or self._resume_s > now_s:
            return self._resume_s
        refreshes, most = self._state_store.refreshes, self._server.most_ids
        oldest = refreshes.due(self._server.host, now_ms - _PATIENCE_MS, 1)
        if oldest or len(refreshes.due(self._server.host, now_ms, most)) == most:
            return now_s
        return None

    def is_late(self, now_ms: int) -> bool:
        """Whether requests for it have fallen behind."""
        return bool(self._state_store.refreshes.due(self._server.host, now_ms - _LATE_MS, 1))

    def job(self, _: float, now_ms: int) -> Request:
        """Make the next request."""
        if self._singly:
            single = self._singly.pop()
            return Request(RefreshRequest([single]), lambda server: server.statuses([single.id]))
        due = self._state_store.refreshes.due(self._server.host, now_ms, self._server.most_ids)
        self._state_store.refreshes.postpone((each.key for each in due), now_ms + _ASK_AGAIN_MS)
        ids = [each.id for each in due]
        return Request(RefreshRequest(due), lambda server: server.statuses(ids))

    def take(self, due: Sequence[Due], answer: Response) -> list[Observation | DeleteObserved]:
        """Return what an answer says of these posts: what is missing in it is gone."""
        self.settled = []
        if answer.error is not None:
            self._failed(answer)
            return []
        self._failures = 0
        if answer.value is None:  # the server takes fewer at once than that
            self._state_store.expedite([each.key for each in due], answer.received_ms)
            return []
        seen: list[Observation | DeleteObserved] = [
            identify(
                raw,
                instance=self._server.host,
                key_by=self._key_by,
                event="refresh",
                observed_ms=answer.received_ms,
            )
            for raw in answer.value
        ]
        there = {each.post_id for each in seen if isinstance(each, Observation)}
        missing = [each for each in due if each.id not in there]
        if len(missing) == len(due) > 1:
            self._singly = list(missing)  # all of them at once: rather a fault. Ask for each alone
            return []
        self.settled = [each.key for each in due]
        host, now_ms = self._server.host, answer.received_ms
        return seen + [DeleteObserved(host, each.id, now_ms, each.key) for each in missing]

    def _failed(self, answer: Response) -> None:
        if isinstance(answer.error, RetriableError):
            self._failures += 1
            self._resume_s = self._clock.monotonic_s() + backoff_s(self._failures)
            return
        self.error = str(answer.error)
        _logger.error("%s; counts are not read again from here on", answer.error)
