"""What every clock keeps, as tests for pytest.

Subclass, and say what the clock is::

    class TestMyClock(ClockConformance):
        @pytest.fixture
        def clock(self) -> Clock:
            return MyClock()

All is measured by the clock itself, and from below: a busy machine makes no wait too long.
"""

import threading
from typing import Final

from mastostream.ports.clock import Clock

__all__ = ["ClockConformance"]

_LOOKS: Final = 100
_WAIT_S: Final = 0.05
_LONG_S: Final = 3600.0
_ROUNDING_MS: Final = 2
_SLACK: Final = 0.9
"""What part of a wait has to have passed: timers end a little early."""


class ClockConformance:
    """The promises of :class:`mastostream.ports.clock.Clock`. Needs a fixture ``clock``."""

    def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        looks = [clock.monotonic_s() for _ in range(_LOOKS)]
        assert looks == sorted(looks)

    def test_a_wait_takes_its_time_by_both_readings(self, clock: Clock) -> None:
        start_s, start_ms = clock.monotonic_s(), clock.now_ms()
        assert isinstance(start_ms, int)
        assert clock.wait(threading.Event(), _WAIT_S) is False
        end_ms, end_s = clock.now_ms(), clock.monotonic_s()
        assert end_s - start_s >= _SLACK * _WAIT_S
        assert end_ms - start_ms >= _SLACK * _WAIT_S * 1000 - _ROUNDING_MS
        assert end_ms - start_ms <= (end_s - start_s) * 1000 + _ROUNDING_MS

    def test_who_is_to_stop_does_not_wait(self, clock: Clock) -> None:
        stop = threading.Event()
        stop.set()
        start_s = clock.monotonic_s()
        assert clock.wait(stop, _LONG_S) is True
        assert clock.monotonic_s() - start_s < _LONG_S

    def test_a_wait_ends_when_it_is_to_stop(self, clock: Clock) -> None:
        stop = threading.Event()
        other = threading.Timer(0.01, stop.set)
        other.start()
        was_told = False
        try:
            while not clock.wait(stop, _LONG_S):
                assert not was_told, "it was told to stop before it waited, and does not say so"
                was_told = stop.is_set()
        finally:
            other.join()

    def test_there_is_no_wait_for_what_has_passed(self, clock: Clock) -> None:
        for seconds in (0.0, -_LONG_S):
            assert clock.wait(threading.Event(), seconds) is False
            assert clock.real_s(seconds) == 0.0

    def test_a_wait_of_something_else_takes_its_share_of_the_machines_time(
        self, clock: Clock
    ) -> None:
        one_s = clock.real_s(1.0)
        assert one_s >= 0.0
        assert abs(clock.real_s(10.0) - 10 * one_s) <= 1e-9
