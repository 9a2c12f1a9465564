"""Rate limit: one request budget for each server, shared by all requests of one token or address.

Mastodon allows 300 requests in 5 minutes. Of these, at most 300 in 15 minutes may page (``min_id``,
``max_id``, ``since_id``). It counts in periods aligned to the epoch
(``config/initializers/rack_attack.rb`` of its source), and no header names the second limit. The
budget keeps both limits in every sliding window of that length, with some headroom.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from mastostream.ports.source import RateLimits

__all__ = ["Budget"]

PLAIN_LIMIT: Final = 300
PLAIN_PERIOD_MS: Final = 300_000
PAGING_LIMIT: Final = 300
PAGING_PERIOD_MS: Final = 900_000
HEADROOM: Final = 0.9
"""Share of a limit that is used. Other programs may use the same address or token."""

_LOWEST_LIMIT: Final = 10
"""A server that announces a lower limit than this is not believed. Requests in 5 minutes."""


class _SlidingWindow:
    """Allows at most ``most`` requests in any ``period_ms``.

    The first half of them may go at once, the rest only at even distances.
    """

    def __init__(self, limit: int, period_ms: int) -> None:
        self.most = max(1, int(limit * HEADROOM))
        self.period_ms = period_ms
        self.times: deque[int] = deque()

    def forget(self, now_ms: int) -> None:
        while self.times and self.times[0] <= now_ms - self.period_ms:
            self.times.popleft()
        while self.times and self.times[-1] > now_ms:  # the clock was set back
            self.times[-1] = now_ms
            if len(self.times) < 2 or self.times[-2] <= now_ms:
                break
            self.times = deque(min(time_ms, now_ms) for time_ms in self.times)

    def free_ms(self, now_ms: int) -> int:
        """Return when the next request may go, milliseconds since the epoch."""
        self.forget(now_ms)
        used = len(self.times)
        if used >= self.most:
            return self.times[used - self.most] + self.period_ms + 1
        if used and used >= self.most // 2:
            return self.times[-1] + self.period_ms // self.most
        return now_ms


class Budget:
    """The rate limiter of one server: says when the next request may be sent.

    Arguments that end in ``_ms`` are points in time, milliseconds since the epoch.
    """

    def __init__(
        self,
        plain_ms: Iterable[int] = (),
        paging_ms: Iterable[int] = (),
        *,
        plain_limit: int = PLAIN_LIMIT,
        paging_limit: int = PAGING_LIMIT,
    ) -> None:
        """Start with the requests that were sent before a restart.

        Args:
            plain_ms: when all earlier requests went, oldest first, including those that page.
            paging_ms: when the earlier requests that page went, oldest first.
            plain_limit: all requests that are allowed in 5 minutes.
            paging_limit: requests that page that are allowed in 15 minutes.
        """
        self._plain = _SlidingWindow(plain_limit, PLAIN_PERIOD_MS)
        self._paging = _SlidingWindow(paging_limit, PAGING_PERIOD_MS)
        self._plain.times.extend(plain_ms)
        self._paging.times.extend(paging_ms)
        self._blocked_until_ms = 0

    def wait_ms(self, now_ms: int, *, paging: bool) -> int:
        """Return how many milliseconds to wait before the next request may be sent."""
        # A clock that was set back does not make the wait longer.
        self._blocked_until_ms = min(self._blocked_until_ms, now_ms + PAGING_PERIOD_MS)
        free_ms = max(self._blocked_until_ms, self._plain.free_ms(now_ms))
        if paging:
            free_ms = max(free_ms, self._paging.free_ms(now_ms))
        return max(0, free_ms - now_ms)

    def spend(self, now_ms: int, *, paging: bool) -> None:
        """Count a request that is sent at ``now_ms``."""
        self._plain.times.append(now_ms)
        if paging:
            self._paging.times.append(now_ms)

    def learn(self, limits: RateLimits, now_ms: int) -> None:
        """Adopt the limit that a response announced, and wait if others have used up its rest."""
        allowed = max(_LOWEST_LIMIT, limits.limit)
        self._plain.most = max(1, int(allowed * HEADROOM))
        reserve = allowed - self._plain.most
        if limits.remaining <= reserve:
            self.block(now_ms, limits.reset_s)

    def block(self, now_ms: int, seconds: float) -> None:
        """Allow no request for ``seconds`` from ``now_ms`` on; a longer block stays in force."""
        until_ms = now_ms + int(seconds * 1000)
        self._blocked_until_ms = max(self._blocked_until_ms, until_ms)

    def interval_s(self, timelines: int) -> float:
        """Return the shortest sustainable poll interval of so many timelines, in seconds."""
        return timelines * self._plain.period_ms / self._plain.most / 1000
