"""Windows equal a naive recount."""

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mastostream.core.windows import (
    Arrival,
    Closed,
    Late,
    Tick,
    WindowSpec,
    WindowState,
    advance,
    close_all,
)

SPEC = WindowSpec(size_ms=10, delay_ms=30, idle_timeout_ms=50, ahead_ms=100)
EVENTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 60)), max_size=40)


def arrivals(pairs: list[tuple[int, int]], arrived_ms: int = 1000) -> list[Arrival]:
    return [
        Arrival(partition=0, key=str(key), event_ms=event_ms, arrived_ms=arrived_ms, value=event_ms)
        for key, event_ms in pairs
    ]


def counts(outputs: tuple[Closed | Late, ...]) -> dict[int, int]:
    found = {
        output.start_ms: len(output.values) for output in outputs if isinstance(output, Closed)
    }
    assert len(found) == sum(isinstance(output, Closed) for output in outputs), "a window twice"
    return found


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 29)), max_size=40))
def test_within_the_delay_any_order_gives_the_naive_recount(pairs: list[tuple[int, int]]) -> None:
    naive: dict[int, set[int]] = defaultdict(set)
    for key, event_ms in pairs:
        naive[event_ms // 10 * 10].add(key)
    state, outputs = advance(SPEC, WindowState(), arrivals(pairs))
    _, rest = close_all(SPEC, state)
    assert counts((*outputs, *rest)) == {start: len(keys) for start, keys in naive.items()}


@given(EVENTS, st.lists(st.integers(0, 40), max_size=5))
def test_how_the_input_is_cut_changes_nothing(
    pairs: list[tuple[int, int]], cuts: list[int]
) -> None:
    events = arrivals(pairs)
    whole_state, whole = advance(SPEC, WindowState(), events)
    state, outputs = WindowState(), []
    edges = [0, *sorted(cuts), len(events)]
    for start, end in pairwise(edges):
        before = {start_ms: dict(posts) for start_ms, posts in state.windows.items()}
        after, some = advance(SPEC, state, events[start:end])
        assert {s: dict(p) for s, p in state.windows.items()} == before, "the old state changed"
        state = after
        outputs.extend(some)
    assert (state, tuple(outputs)) == (whole_state, whole)


@given(EVENTS)
def test_every_post_is_counted_once_or_late(pairs: list[tuple[int, int]]) -> None:
    unique = list({key: (key, event_ms) for key, event_ms in pairs}.values())
    state, outputs = advance(SPEC, WindowState(), arrivals(unique))
    _, rest = close_all(SPEC, state)
    late = sum(isinstance(output, Late) for output in outputs)
    assert sum(counts((*outputs, *rest)).values()) + late == len(unique)


def test_a_late_first_sight_is_told_and_a_late_refresh_is_not() -> None:
    late = Arrival(partition=0, key="late", event_ms=5, arrived_ms=1000)
    refresh = Arrival(partition=0, key="old", event_ms=5, arrived_ms=1000, first=False)
    _, outputs = advance(SPEC, WindowState(), [*arrivals([(1, 100)]), late, refresh])
    assert [output.key for output in outputs if isinstance(output, Late)] == ["late"]


def test_a_post_from_the_future_closes_no_window() -> None:
    future = Arrival(partition=0, key="f", event_ms=10**15, arrived_ms=50)
    state, outputs = advance(SPEC, WindowState(), [*arrivals([(1, 40)], 50), future])
    assert [output.reason for output in outputs if isinstance(output, Late)] == ["ahead"]
    assert state.windows == {40: {"1": 40}}


def test_the_slowest_partition_holds_the_watermark_until_it_is_idle() -> None:
    def at(partition: int, event_ms: int, arrived_ms: int) -> Arrival:
        return Arrival(
            partition=partition, key=f"{event_ms}", event_ms=event_ms, arrived_ms=arrived_ms
        )

    state, outputs = advance(SPEC, WindowState(), [at(0, 5, 100), at(1, 95, 120)])
    assert outputs == ()
    _, outputs = advance(SPEC, state, [at(1, 96, 160)])
    assert counts(outputs) == {0: 1}


def test_a_quiet_stream_closes_its_windows_as_the_wall_clock_goes_on() -> None:
    state, _ = advance(SPEC, WindowState(), arrivals([(1, 5)], arrived_ms=100))
    same, nothing = advance(SPEC, state, [Tick(now_ms=140)])
    assert (same.windows, nothing) == (state.windows, ())
    _, closed = advance(SPEC, state, [Tick(now_ms=155)])
    assert counts(closed) == {0: 1}


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    state, _ = advance(SPEC, WindowState(), arrivals([(1, 5)], arrived_ms=100))
    later, outputs = advance(SPEC, state, [Tick(now_ms=-5000)])
    assert (later.watermark_ms, outputs) == (state.watermark_ms, ())
