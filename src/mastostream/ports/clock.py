"""Time, so that tests can hold it, and a simulation can hurry it."""

import threading
import time
from typing import Protocol

import attrs

__all__ = ["Clock", "ScaledClock", "SystemClock"]


class Clock(Protocol):
    """Tells the time and waits."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch. May be set back."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back, from an arbitrary moment."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait; return at once and ``True`` when ``stop`` is set. Less than 0 s is no wait."""

    def real_s(self, seconds: float) -> float:
        """Return how long that takes on the machine, for waits that something else makes.

        Never less than 0, as a moment that has passed is not waited for.
        """


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(max(0.0, seconds))

    def real_s(self, seconds: float) -> float:
        return max(0.0, seconds)


@attrs.frozen
class ScaledClock:
    """A clock that runs many times as fast as the machine's, for simulations.

    Every process that is given the same three numbers shows the same time.

    Attributes:
        real_ms: a moment of the machine's clock, milliseconds since the epoch.
        simulated_ms: what this clock showed then.
        speed: simulated seconds a second.
    """

    real_ms: int
    simulated_ms: int
    speed: float = attrs.field(validator=attrs.validators.gt(0))

    def now_ms(self) -> int:
        passed_ms = time.time_ns() / 1e6 - self.real_ms
        return self.simulated_ms + int(passed_ms * self.speed)

    def monotonic_s(self) -> float:
        return time.monotonic() * self.speed

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(self.real_s(seconds))

    def real_s(self, seconds: float) -> float:
        return max(0.0, seconds / self.speed)
