"""The clock port: time that tests can stop and simulations can speed up."""

import threading
import time
from typing import Protocol

import attrs

__all__ = ["Clock", "ScaledClock", "SystemClock"]


class Clock(Protocol):
    """A source of the time, and of waits."""

    def now_ms(self) -> int:
        """Return the time, milliseconds since the epoch. It may go back."""

    def monotonic_s(self) -> float:
        """Return the seconds since an arbitrary moment. They never go back."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait until ``stop`` is set or the time is over; return whether ``stop`` is set.

        Less than 0 s is no wait.
        """

    def real_s(self, seconds: float) -> float:
        """Convert seconds of this clock to seconds of the machine's, for waits that others make.

        Never less than 0, so that a time in the past means no wait.
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
    """A clock for simulations, which runs many times as fast as the machine's.

    Processes with the same three attributes have the same time.

    Attributes:
        real_ms: a time of the machine's clock, milliseconds since the epoch.
        simulated_ms: the time of this clock at that moment, milliseconds since the epoch.
        speed: simulated seconds per real second, more than 0.
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
