"""The conformance suite for clocks: our clocks pass it, broken ones fail."""

import threading
import time

import pytest

from mastostream.ports.clock import Clock, ScaledClock, SystemClock
from mastostream.testing.conformance.clock import ClockConformance
from mastostream.testing.fakes import FakeClock

from .weakness import Weakness, assert_all_are_tried, assert_found_out, name_of


class TestFakeClock(ClockConformance):
    @pytest.fixture(params=[0.0, 0.1])
    def clock(self, request: pytest.FixtureRequest) -> Clock:
        return FakeClock(look_s=request.param)


class TestSystemClock(ClockConformance):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()


class TestScaledClock(ClockConformance):
    @pytest.fixture(params=[0.5, 1.0, 200.0])
    def clock(self, request: pytest.FixtureRequest) -> Clock:
        return ScaledClock(time.time_ns() // 1_000_000, 1_750_000_000_000, request.param)


class GoesBack(FakeClock):
    def monotonic_s(self) -> float:
        self.advance(-1.0)
        return super().monotonic_s()


class DoesNotWait(FakeClock):
    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.is_set()


class KeepsItsDate(FakeClock):
    def now_ms(self) -> int:
        return 1_750_000_000_000


class HurriesItsDate(FakeClock):
    def now_ms(self) -> int:
        return 1_750_000_000_000 + int(self.monotonic_s() * 2000)


class WaitsAllTheSame(FakeClock):
    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.advance(max(0.0, seconds))
        return stop.is_set()


class NeverStops(FakeClock):
    def wait(self, stop: threading.Event, seconds: float) -> bool:
        super().wait(threading.Event(), seconds)
        return False


class RefusesThePast(FakeClock):
    def wait(self, stop: threading.Event, seconds: float) -> bool:
        if seconds < 0:
            raise ValueError("a wait of less than nothing")
        return super().wait(stop, seconds)


class LooksBack(FakeClock):
    def real_s(self, seconds: float) -> float:
        return seconds


class WaitsForEver(FakeClock):
    def real_s(self, seconds: float) -> float:
        return 1.0 if seconds > 0 else 0.0


WEAK = [
    Weakness("monotonic_time_never_goes_back", GoesBack),
    Weakness("a_wait_takes_its_time_by_both_readings", DoesNotWait),
    Weakness("a_wait_takes_its_time_by_both_readings", KeepsItsDate),
    Weakness("a_wait_takes_its_time_by_both_readings", HurriesItsDate),
    Weakness("who_is_to_stop_does_not_wait", WaitsAllTheSame),
    Weakness("who_is_to_stop_does_not_wait", NeverStops),
    Weakness("a_wait_ends_when_it_is_to_stop", NeverStops),
    Weakness("there_is_no_wait_for_what_has_passed", RefusesThePast),
    Weakness("there_is_no_wait_for_what_has_passed", LooksBack),
    Weakness("a_wait_of_something_else_takes_its_share_of_the_machines_time", WaitsForEver),
]


@pytest.mark.parametrize("weakness", WEAK, ids=name_of)
def test_a_clock_that_breaks_a_promise_is_found_out(weakness: Weakness) -> None:
    assert_found_out(ClockConformance, weakness)


def test_every_promise_is_watched() -> None:
    assert_all_are_tried(ClockConformance, WEAK)


def test_a_clock_of_a_test_moves_by_hand_and_by_waits() -> None:
    clock = FakeClock(1_000)
    clock.advance(0.0004)
    clock.advance(0.0008)
    assert clock.now_ms() == 1_001, "less than a millisecond is not lost"
    clock.ms = 5
    clock.wait(threading.Event(), 2.0)
    assert clock.now_ms() == 2_005
    assert clock.monotonic_s() == pytest.approx(2.0012), "whatever the date"
    clock.real_s(30.0)
    assert (clock.waits_s, clock.real_waits_s) == ([2.0], [30.0])
