"""How many requests a server is sent: one budget for all that one token, or address, asks.

Mastodon allows 300 requests in 5 minutes, and 300 in 15 minutes of those that page (``min_id``,
``max_id``, ``since_id``), counted in periods aligned to the epoch
(``config/initializers/rack_attack.rb`` of its source). The second limit is told in no header. Here
both are kept in every stretch of that length, wherever it begins, with some headroom.
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
"""Part of a limit that is used: others may use the same address or token."""

_LOWEST_LIMIT: Final = 10


class _Window:
    """At most so many in any stretch of that length; evenly, once half of them are used."""

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
            self.times = deque(min(each, now_ms) for each in self.times)

    def free_ms(self, now_ms: int) -> int:
        """When the next one may go."""
        self.forget(now_ms)
        used = len(self.times)
        if used >= self.most:
            return self.times[used - self.most] + self.period_ms + 1
        if used >= self.most // 2:
            return self.times[-1] + self.period_ms // self.most
        return now_ms


class Budget:
    """Says when the next request may go. All times are milliseconds since the epoch."""

    def __init__(
        self,
        plain_ms: Iterable[int] = (),
        paging_ms: Iterable[int] = (),
        *,
        plain_limit: int = PLAIN_LIMIT,
        paging_limit: int = PAGING_LIMIT,
    ) -> None:
        """Begin with what was asked before.

        Args:
            plain_ms: when requests went, oldest first; also those that page.
            paging_ms: when those went that page.
            plain_limit: requests in 5 minutes.
            paging_limit: of these that page, in 15 minutes.
        """
        self._plain = _Window(plain_limit, PLAIN_PERIOD_MS)
        self._paging = _Window(paging_limit, PAGING_PERIOD_MS)
        self._plain.times.extend(plain_ms)
        self._paging.times.extend(paging_ms)
        self._blocked_until_ms = 0

    def wait_ms(self, now_ms: int, *, paging: bool) -> int:
        """Return how long to wait before the next request may go."""
        # A clock that was set back does not make the wait longer.
        self._blocked_until_ms = min(self._blocked_until_ms, now_ms + PAGING_PERIOD_MS)
        free_ms = max(self._blocked_until_ms, self._plain.free_ms(now_ms))
        if paging:
            free_ms = max(free_ms, self._paging.free_ms(now_ms))
        return max(0, free_ms - now_ms)

    def spend(self, now_ms: int, *, paging: bool) -> None:
        """A request goes."""
        self._plain.times.append(now_ms)
        if paging:
            self._paging.times.append(now_ms)

    def learn(self, limits: RateLimits, now_ms: int) -> None:
        """Take in what an answer said: another limit, or that somebody else has used it too."""
        allowed = max(_LOWEST_LIMIT, limits.limit)
        self._plain.most = max(1, int(allowed * HEADROOM))
        reserve = allowed - self._plain.most
        if limits.remaining <= reserve:
            self.block(now_ms, limits.reset_s)

    def block(self, now_ms: int, seconds: float) -> None:
        """Send nothing for so long: the server said so."""
        until_ms = now_ms + int(seconds * 1000)
        self._blocked_until_ms = max(self._blocked_until_ms, until_ms)

    def interval_s(self, timelines: int) -> float:
        """Return how often each of so many timelines can be asked for, at most, in the long run."""
        return timelines * self._plain.period_ms / self._plain.most / 1000
