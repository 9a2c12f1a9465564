"""Time, so that tests can hold it."""

import threading
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Tells the time and waits."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch. May be set back."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back, from an arbitrary moment."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait; return at once and ``True`` when ``stop`` is set."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(max(0.0, seconds))
