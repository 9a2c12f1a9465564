"""Windows equal a naive recount, whatever the order of versions and deletions."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mastostream.core.windows import (
    AHEAD_MS,
    Entry,
    PostState,
    WindowSpec,
    add_deletion,
    add_version,
    counted_values,
    decode_state,
    encode_state,
    entries,
    newest_observation_ms,
    not_countable,
)

SPEC = WindowSpec(size_ms=30, slide_ms=10, horizon_ms=100)

Version = tuple[int, int]  # when it was written, when it was observed
Event = Version | int  # an integer is a deletion: when it was observed

TIMES = st.integers(0, 60)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Return what is observed of one post, never two things at the same time."""
    observed = draw(st.lists(st.integers(0, 160), unique=True, max_size=7))
    created = draw(st.lists(TIMES, min_size=1, max_size=2))
    return [
        time if draw(st.integers(0, 3)) == 0 else (draw(st.sampled_from(created)), time)
        for time in observed
    ]


def applied(events: list[Event]) -> PostState | None:
    state: PostState | None = None
    for event in events:
        if isinstance(event, int):
            state = add_deletion(state, event)
        elif not_countable(SPEC, *event, event[1]) is None:
            state = add_version(state, *event, b"%d" % event[1])
        if state is not None:
            state = decode_state(encode_state(state))
    return state


def recounted(events: list[Event]) -> dict[int, Entry]:
    versions = [
        event
        for event in events
        if not isinstance(event, int)
        and event[1] - event[0] <= SPEC.horizon_ms
        and event[0] - event[1] <= AHEAD_MS
    ]
    if not versions:
        return {}
    created, observed = max(versions, key=lambda version: version[1])
    deletions = [
        event
        for event in events
        if isinstance(event, int) and observed < event <= created + SPEC.horizon_ms
    ]
    newest = max(deletions, default=observed)
    found = {}
    for start in range(-30, 70, 10):
        if any(start <= written < start + 30 for written, _ in versions):
            counts = not deletions and start <= created < start + 30
            found[start] = Entry(newest, counts, b"%d" % observed if counts else b"")
    return found


@given(histories(), st.randoms(use_true_random=False))
@example([(0, 1), 120, 50], None)
@example([(0, 1), (20, 2), 3, (0, 4)], None)
def test_what_is_known_of_a_post_does_not_depend_on_the_order(events, random) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives a Random
    expected = recounted(events)
    if random is not None:
        events = events + events[: random.randrange(len(events) + 1)]
        random.shuffle(events)
    assert entries(SPEC, applied(events)) == expected


def test_of_equal_versions_the_later_counts() -> None:
    state = add_version(add_version(None, 5, 7, b"1"), 5, 7, b"2")
    assert entries(WindowSpec(size_ms=10), state) == {0: Entry(7, True, b"2")}
    state = add_deletion(state, 7)
    assert entries(WindowSpec(size_ms=10), state) == {0: Entry(7, False, b"")}
    state = add_version(state, 5, 7, b"3")
    assert entries(WindowSpec(size_ms=10), state) == {0: Entry(7, True, b"3")}


def test_what_is_kept_of_a_post_is_bounded() -> None:
    state = None
    for time in range(10_000):
        state = add_deletion(state, 1_000_000 + time)
        state = add_version(state, time, time, b"1")
    assert state is not None
    assert len(encode_state(state)) < 300


@given(st.integers(-(10**14), 10**14), st.integers(1, 20), st.integers(1, 1000))
def test_a_post_is_in_each_window_that_contains_its_time(
    event_ms: int, parts: int, slide_ms: int
) -> None:
    spec = WindowSpec(size_ms=parts * slide_ms, slide_ms=slide_ms)
    starts = spec.starts_of(event_ms)
    assert len(starts) == parts
    assert all(start % slide_ms == 0 for start in starts)
    assert all(start <= event_ms < start + spec.size_ms for start in starts)


def test_windows_overlap_by_whole_parts() -> None:
    with pytest.raises(ValueError, match="whole part"):
        WindowSpec(size_ms=100, slide_ms=30)


def test_only_what_is_beyond_a_bound_is_not_countable() -> None:
    assert not_countable(SPEC, 0, 100, 100) is None
    assert not_countable(SPEC, 0, 101, 101) == "late"
    assert not_countable(SPEC, AHEAD_MS + 7, 7, 7) is None
    assert not_countable(SPEC, AHEAD_MS + 8, 7, 7) == "ahead"
    assert not_countable(SPEC, AHEAD_MS + 8, AHEAD_MS + 8, 7) == "ahead"


def test_the_values_of_a_window_are_in_the_order_of_the_keys() -> None:
    window = {
        "b": Entry(5, True, b'"b"'),
        "a": Entry(4, True, b'["a"]'),
        "c": Entry(9, False, b""),
    }
    assert counted_values(window) == [["a"], "b"]
    assert newest_observation_ms(window) == 9
    assert counted_values({"c": Entry(9, False, b"")}) == []
