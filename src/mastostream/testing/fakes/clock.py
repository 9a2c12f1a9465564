"""A clock that tests move."""

import threading
from typing import Final

__all__ = ["FakeClock"]

_START_MS: Final = 1_750_000_000_000


class FakeClock:
    """A :class:`mastostream.ports.clock.Clock` that stands still until it is moved. Waits move it.

    Attributes:
        ms: what it shows, milliseconds since the epoch. A test may set it, also back: the other
            reading, ``monotonic_s``, goes on as if nothing had happened.
        waits_s: how long each :meth:`wait` was to take.
        real_waits_s: what :meth:`real_s` was asked for: waits that something else makes. They do
            not move the clock.
    """

    def __init__(
        self, ms: int = _START_MS, *, look_s: float = 0.0, real_share: float = 0.001
    ) -> None:
        """Begin at a moment.

        Args:
            ms: milliseconds since the epoch.
            look_s: how far each look at ``monotonic_s`` moves it, for loops that only look.
            real_share: what part of a second a wait of a second takes on the machine where
                something else makes it.
        """
        self.ms = ms
        self.waits_s: list[float] = []
        self.real_waits_s: list[float] = []
        self._passed_s = 0.0
        self._look_s = look_s
        self._real_share = real_share

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        self.advance(self._look_s)
        return self._passed_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        if not stop.is_set():
            self.waits_s.append(seconds)
            self.advance(max(0.0, seconds))
        return stop.is_set()

    def real_s(self, seconds: float) -> float:
        self.real_waits_s.append(seconds)
        return max(0.0, seconds) * self._real_share

    def advance(self, seconds: float) -> None:
        """Let time pass, for both readings."""
        before_ms = int(self._passed_s * 1000)
        self._passed_s += seconds
        self.ms += int(self._passed_s * 1000) - before_ms
