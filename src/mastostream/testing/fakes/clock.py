"""A fake clock that the test moves."""

import threading
from typing import Final

__all__ = ["FakeClock"]

_START_MS: Final = 1_750_000_000_000


class FakeClock:
    """A fake :class:`mastostream.ports.clock.Clock`. Only waits and the test move it.

    Attributes:
        ms: the time that it shows, milliseconds since the epoch. A test may set it, also back;
            ``monotonic_s`` does not change then.
        waits_s: the length of each :meth:`wait`, seconds.
        real_waits_s: the argument of each :meth:`real_s`, seconds: the waits that something else
            makes. They do not move the clock.
    """

    def __init__(
        self, ms: int = _START_MS, *, look_s: float = 0.0, real_share: float = 0.001
    ) -> None:
        """Set the clock.

        Args:
            ms: the time that it shows at first, milliseconds since the epoch.
            look_s: how far each call of ``monotonic_s`` moves the clock, seconds. It lets loops end
                that only read the clock.
            real_share: the share of a wait's length that :meth:`real_s` returns, so that tests with
                such waits are short.
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
        """Move both readings of the clock forward."""
        before_ms = int(self._passed_s * 1000)
        self._passed_s += seconds
        self.ms += int(self._passed_s * 1000) - before_ms
