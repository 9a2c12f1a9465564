"""The request budget: no limit is ever exceeded, whatever others send and the clock does."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream.collector.budget import Budget
from mastostream.ports.source import RateLimits

START = 1_750_000_000_000


def spend(budget: Budget, now_ms: int, until_ms: int, paging: bool) -> list[int]:
    """Send requests as fast as the budget allows; return when they went."""
    times = []
    while True:
        wait_ms = budget.wait_ms(now_ms, paging=paging)
        if wait_ms == 0:
            budget.spend(now_ms, paging=paging)
            times.append(now_ms)
            wait_ms = 20
        now_ms += wait_ms
        if now_ms > until_ms:
            return times


def most(times: list[int], period_ms: int) -> int:
    """Return the most requests in any period aligned to the epoch, which is what servers count."""
    return max(Counter(time // period_ms for time in times).values())


@settings(max_examples=20)
@given(st.integers(0, 900_000), st.booleans())
def test_an_hour_of_asking_as_fast_as_allowed_stays_below_the_limits(
    offset_ms: int, paging: bool
) -> None:
    budget = Budget()
    times = spend(budget, START + offset_ms, START + offset_ms + 3_600_000, paging)
    assert most(times, 300_000) <= 270
    if paging:
        assert most(times, 900_000) <= 270
        assert len(times) >= 4 * 250
    else:
        assert len(times) >= 12 * 250, "the budget is used, not only kept"


def test_a_limit_of_one_or_two_requests_is_kept() -> None:
    for limit in (1, 2):
        times = spend(Budget(paging_limit=limit), START, START + 3_600_000, paging=True)
        assert most(times, 900_000) == 1
        assert len(times) == 4


def test_half_of_it_may_go_at_once_and_the_rest_evenly() -> None:
    times = spend(Budget(), START, START + 300_000, paging=False)
    assert times[130] - times[0] < 10_000
    pauses = [after - before for before, after in pairwise(times[140:])]
    assert max(pauses) < 3_000


def test_what_went_before_a_restart_counts() -> None:
    before = spend(Budget(), START, START + 60_000, paging=True)
    after = spend(Budget(before, before), START + 61_000, START + 900_000, paging=True)
    assert most(before + after, 900_000) <= 270


def test_a_server_with_a_lower_limit_is_believed() -> None:
    budget = Budget()
    budget.learn(RateLimits(100, 90, 200.0), START)
    times = spend(budget, START, START + 1_200_000, paging=False)
    assert most(times, 300_000) <= 90


def test_what_others_have_used_of_the_limit_is_left_to_them() -> None:
    budget = Budget()
    budget.learn(RateLimits(300, 3, 120.0), START)
    assert budget.wait_ms(START, paging=False) == 120_000
    budget = Budget()
    budget.block(START, 7.0)
    assert budget.wait_ms(START + 1_000, paging=True) == 6_000


def test_a_clock_that_is_set_back_does_not_make_a_wait_longer() -> None:
    budget = Budget()
    budget.block(START, 60.0)
    assert budget.wait_ms(START - 3_600_000, paging=False) <= 900_000
    assert budget.wait_ms(START - 3_600_000 + 900_000, paging=False) == 0


def test_a_clock_that_is_set_back_does_not_hold_requests_for_long() -> None:
    budget = Budget()
    spend(budget, START, START + 250_000, paging=False)
    back_ms = START - 86_400_000
    assert budget.wait_ms(back_ms, paging=False) <= 300_001
    assert len(spend(budget, back_ms, back_ms + 600_000, paging=False)) > 200
