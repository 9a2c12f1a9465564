"""Conformance suite for clocks, as a test class for pytest.

Subclass it and provide its fixture::

    class TestMyClock(ClockConformance):
        @pytest.fixture
        def clock(self) -> Clock:
            return MyClock()

The suite measures with the clock itself, and checks only that waits are not too short. A wait that
takes longer on a busy machine does not fail.
"""

import threading
from typing import Final

from mastostream.ports.clock import Clock

__all__ = ["ClockConformance"]

_READINGS: Final = 100
_WAIT_S: Final = 0.05
_LONG_S: Final = 3600.0
"""Much longer than a test may take: a wait of this length has to be interrupted."""

_ROUNDING_MS: Final = 2
"""How far two readings in whole milliseconds may be off."""

_SLACK: Final = 0.9
"""The share of a wait that has to have passed, because timers may end a little early."""


class ClockConformance:
    """Tests :class:`mastostream.ports.clock.Clock`. Needs the fixture ``clock``."""

    def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        readings = [clock.monotonic_s() for _ in range(_READINGS)]
        assert readings == sorted(readings)

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
        timer = threading.Timer(0.01, stop.set)
        timer.start()
        was_set = False
        try:
            while not clock.wait(stop, _LONG_S):
                assert not was_set, "it was told to stop before it waited, and does not say so"
                was_set = stop.is_set()
        finally:
            timer.join()

    def test_there_is_no_wait_for_what_has_passed(self, clock: Clock) -> None:
        for seconds in (0.0, -_LONG_S):
            assert clock.wait(threading.Event(), seconds) is False
            assert clock.real_s(seconds) == 0.0

    def test_a_wait_of_something_else_takes_its_share_of_the_machines_time(
        self, clock: Clock
    ) -> None:
        real_s = clock.real_s(1.0)
        assert real_s >= 0.0
        assert abs(clock.real_s(10.0) - 10 * real_s) <= 1e-9
