"""Limits of requests, as Mastodon has them: fixed windows, aligned to the epoch.

Source: ``config/initializers/rack_attack.rb`` of Mastodon 4: 300 requests in 5 minutes, and of
those with ``min_id``, ``since_id``, ``max_id`` or ``page`` 300 in 15 minutes; by token, or by
address where there is none. The headers tell of the first.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import attrs

__all__ = ["PAGING_MEMBERS", "RateLimiter", "Usage", "Verdict"]

PAGING_MEMBERS: Final = frozenset({"page", "min_id", "since_id", "max_id"})
_WINDOW_S: Final = 300
_PAGING_WINDOW_S: Final = 900


@attrs.define(kw_only=True)
class Usage:
    """What was asked of a server, and whether it was too much.

    Attributes:
        requests: of the REST API, in all.
        most: in any window of 5 minutes, of one client.
        most_paging: of those that page, in any window of 15 minutes, of one client.
        over_limit: how many were refused because they were too many.
        paths: how many there were of each kind, by the route's pattern.
    """

    requests: int = 0
    most: int = 0
    most_paging: int = 0
    over_limit: int = 0
    paths: Counter[str] = attrs.field(factory=Counter)


class Verdict(NamedTuple):
    """What the limits say of a request.

    Attributes:
        over: whether it is one too many.
        headers: what the answer tells of them.
    """

    over: bool
    headers: Mapping[str, str]


class RateLimiter:
    """Counts requests.

    Attributes:
        usage: what was asked so far.
    """

    def __init__(self, limit: int | None, *, paging: bool) -> None:
        """Count from now on.

        Args:
            limit: requests in a window; ``None`` for no limit.
            paging: whether requests that page have a limit of their own.
        """
        self.usage = Usage()
        self._limit = limit
        self._paging = paging
        self._windows: dict[tuple[str, int], tuple[int, int]] = {}

    def count(self, client: str, now_ms: int, *, paging: bool) -> Verdict:
        """Count a request, and say whether it may be answered."""
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
        """Return the headers that tell how many requests are left in this window."""
        ends_s = (now_ms // 1000 // window_s + 1) * window_s
        reset = datetime.fromtimestamp(ends_s, UTC).isoformat(timespec="microseconds")
        return {
            "X-RateLimit-Limit": str(self._limit if self._limit is not None else 300),
            "X-RateLimit-Remaining": str(max(0, left)),
            "X-RateLimit-Reset": reset.replace("+00:00", "Z"),
        }

    def _add(self, client: str, now_ms: int, window_s: int) -> int:
        number = now_ms // 1000 // window_s
        before, used = self._windows.get((client, window_s), (number, 0))
        used = used + 1 if before == number else 1
        self._windows[client, window_s] = number, used
        return used
