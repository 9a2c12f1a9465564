"""Rate limits as Mastodon has them: fixed windows, aligned to the epoch.

Source: ``config/initializers/rack_attack.rb`` of Mastodon 4. A client may make 300 requests in 5
minutes. Of requests with ``min_id``, ``since_id``, ``max_id`` or ``page`` it may make 300 in 15
minutes. A client is a token, or an address where there is no token. The headers describe the
5-minute limit only, except when the other one is exceeded.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import attrs

__all__ = ["PAGING_MEMBERS", "RateLimiter", "Usage", "Verdict"]

PAGING_MEMBERS: Final = frozenset({"page", "min_id", "since_id", "max_id"})
"""Query parameters that make a request count as pagination."""

_WINDOW_S: Final = 300
_PAGING_WINDOW_S: Final = 900


@attrs.define(kw_only=True)
class Usage:
    """Counts of the requests that a server has received.

    Attributes:
        requests: all requests of the REST API.
        most: largest number of requests of one client in one window of 5 minutes.
        most_paging: largest number of pagination requests of one client in one window of 15
            minutes.
        over_limit: requests that were refused because of a rate limit.
        paths: requests by route, such as ``/api/v1/statuses/{id}``.
    """

    requests: int = 0
    most: int = 0
    most_paging: int = 0
    over_limit: int = 0
    paths: Counter[str] = attrs.field(factory=Counter)


class Verdict(NamedTuple):
    """The decision of the rate limits about one request.

    Attributes:
        over: whether the request exceeds a limit.
        headers: ``X-RateLimit-...`` headers of the response; empty where there is no limit.
    """

    over: bool
    headers: Mapping[str, str]


class RateLimiter:
    """Counts the requests of each client, and refuses those above the limit.

    Attributes:
        usage: counts of all requests so far.
    """

    def __init__(self, limit: int | None, *, paging: bool) -> None:
        """Set the limits; nothing is counted yet.

        Args:
            limit: requests that a client may make in a window; ``None`` for no limit.
            paging: whether pagination requests have a limit of their own.
        """
        self.usage = Usage()
        self._limit = limit
        self._paging = paging
        self._windows: dict[tuple[str, int], tuple[int, int]] = {}

    def count(self, client: str, now_ms: int, *, paging: bool) -> Verdict:
        """Count a request and decide whether it is within the limits."""
        used = self._add(client, now_ms, _WINDOW_S)
        self.usage.requests += 1
        self.usage.most = max(self.usage.most, used)
        used_paging = 0
        if paging:
            used_paging = self._add(client, now_ms, _PAGING_WINDOW_S)
            self.usage.most_paging = max(self.usage.most_paging, used_paging)
        if self._limit is None:
            return Verdict(False, {})
        verdict = Verdict(used > self._limit, self.headers(now_ms, self._limit - used))
        if self._paging and used_paging > self._limit:
            verdict = Verdict(True, self.headers(now_ms, 0, _PAGING_WINDOW_S))
        self.usage.over_limit += verdict.over
        return verdict

    def headers(self, now_ms: int, left: int, window_s: int = _WINDOW_S) -> dict[str, str]:
        """Return the rate limit headers for a number of requests left in this window."""
        ends_s = (now_ms // 1000 // window_s + 1) * window_s
        reset = datetime.fromtimestamp(ends_s, UTC).isoformat(timespec="microseconds")
        return {
            "X-RateLimit-Limit": str(self._limit if self._limit is not None else 300),
            "X-RateLimit-Remaining": str(max(0, left)),
            "X-RateLimit-Reset": reset.replace("+00:00", "Z"),
        }

    def _add(self, client: str, now_ms: int, window_s: int) -> int:
        number = now_ms // 1000 // window_s
        counted_in, used = self._windows.get((client, window_s), (number, 0))
        used = used + 1 if counted_in == number else 1
        self._windows[client, window_s] = number, used
        return used
