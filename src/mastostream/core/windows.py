"""Tumbling windows in event time, as a pure state machine.

A window is ``[start, end)``, aligned to the epoch. The watermark is the highest event time minus
the allowed delay, the lowest of all partitions that are not idle; it never goes back. A window
closes when the watermark reaches its end. A post is counted once, in the window of its creation:
the first delivery counts, whatever comes later under the same key does not.

A stream that is quiet for longer than the idle time-out does not hold its windows open: from its
last arrival on, its event time is taken to go on as the wall clock does. So a live stream closes
its windows soon after it falls silent, and a replay of old posts is not hurried to today.

All times are milliseconds since the epoch. No time is asked for here: arrivals and ticks bring it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

__all__ = [
    "AHEAD_MS",
    "Arrival",
    "Closed",
    "Late",
    "PartitionClock",
    "Tick",
    "WindowSpec",
    "WindowState",
    "advance",
    "close_all",
]

AHEAD_MS: Final = 3_600_000
"""How far ahead of its arrival a post may claim to be written. Clocks differ by minutes; without a
bound, one post from the year 9999 would close every window."""


@attrs.frozen(kw_only=True)
class WindowSpec:
    """How posts fall into windows.

    Attributes:
        size_ms: the length of a window.
        delay_ms: how long to wait for posts that come out of order.
        idle_timeout_ms: how long a partition may be silent before it is left out.
        ahead_ms: how far ahead of its arrival a post may be.
    """

    size_ms: int = attrs.field(validator=attrs.validators.gt(0))
    delay_ms: int = attrs.field(default=30_000, validator=attrs.validators.ge(0))
    idle_timeout_ms: int = attrs.field(default=30_000, validator=attrs.validators.gt(0))
    ahead_ms: int = attrs.field(default=AHEAD_MS, validator=attrs.validators.ge(0))

    def start_of(self, event_ms: int) -> int:
        """Return the start of the window that this moment falls into."""
        return event_ms - event_ms % self.size_ms


@attrs.frozen(kw_only=True)
class Arrival:
    """One post arrives.

    Attributes:
        partition: where it was read.
        key: counted once a window.
        event_ms: when it was written.
        arrived_ms: when the log took it: no later event time moves the watermark.
        first: whether it is a first sight (``new``): only such a post can be late.
        value: what the window keeps of it.
    """

    partition: int
    key: str
    event_ms: int
    arrived_ms: int
    first: bool = True
    value: Any = None


@attrs.frozen(kw_only=True)
class Tick:
    """The wall clock has moved on."""

    now_ms: int


@attrs.frozen(kw_only=True)
class Closed:
    """A window is complete.

    Attributes:
        start_ms: its first moment.
        end_ms: the first moment after it.
        values: what was kept of its posts, in the order of arrival.
    """

    start_ms: int
    end_ms: int
    values: tuple[Any, ...]


@attrs.frozen(kw_only=True)
class Late:
    """A post that no window could take.

    Attributes:
        reason: ``late``, its window had closed; ``ahead``, it claims to come from the future.
        start_ms: the start of the window that it belongs to.
        watermark_ms: the watermark then, ``None`` before the first post.
    """

    key: str
    reason: Literal["late", "ahead"]
    event_ms: int
    start_ms: int
    watermark_ms: int | None


@attrs.frozen(kw_only=True)
class PartitionClock:
    """How far one partition has come.

    Attributes:
        max_event_ms: its highest event time, ``None`` before its first post.
        active_ms: the wall clock when it last brought a post.
    """

    max_event_ms: int | None
    active_ms: int


@attrs.frozen(kw_only=True)
class WindowState:
    """All that a windowed analysis remembers. Treat the mappings as immutable.

    Attributes:
        windows: start of each open window to its posts' keys and what is kept of each.
        partitions: the clock of each partition.
        watermark_ms: windows that end here or before are closed; ``None`` before the first post.
    """

    windows: Mapping[int, Mapping[str, Any]] = attrs.field(factory=dict)
    partitions: Mapping[int, PartitionClock] = attrs.field(factory=dict)
    watermark_ms: int | None = None


def advance(
    spec: WindowSpec, state: WindowState, events: Iterable[Arrival | Tick]
) -> tuple[WindowState, tuple[Closed | Late, ...]]:
    """Take some events, in their order, and return the new state and what came of them.

    The given state is left as it is. How the events are cut into calls does not change what comes
    out; in one call, a window's keys are copied once, not once a post.
    """
    windows = dict(state.windows)
    partitions = dict(state.partitions)
    watermark = state.watermark_ms
    copied: dict[int, dict[str, Any]] = {}
    outputs: list[Closed | Late] = []
    for event in events:
        if isinstance(event, Tick):
            candidate = _idle_watermark(spec, partitions.values(), event.now_ms)
        else:
            late = _place(spec, event, watermark, windows, copied)
            if late is not None:
                outputs.append(late)
            candidate = _arrival_watermark(spec, partitions, event, watermark)
        if candidate is not None and (watermark is None or candidate > watermark):
            watermark = candidate
            outputs.extend(_close(spec, windows, copied, watermark))
    return WindowState(windows=windows, partitions=partitions, watermark_ms=watermark), tuple(
        outputs
    )


def close_all(spec: WindowSpec, state: WindowState) -> tuple[WindowState, tuple[Closed, ...]]:
    """Close every open window, for an input that has come to its end."""
    windows = dict(state.windows)
    if not windows:
        return state, ()
    watermark = max(windows) + spec.size_ms
    outputs = tuple(_close(spec, windows, {}, watermark))
    watermark = max(watermark, state.watermark_ms or watermark)
    return attrs.evolve(state, windows=windows, watermark_ms=watermark), outputs


def _place(
    spec: WindowSpec,
    arrival: Arrival,
    watermark: int | None,
    windows: dict[int, Mapping[str, Any]],
    copied: dict[int, dict[str, Any]],
) -> Late | None:
    start = spec.start_of(arrival.event_ms)
    ahead = arrival.event_ms > arrival.arrived_ms + spec.ahead_ms
    if ahead or (watermark is not None and start + spec.size_ms <= watermark):
        if not arrival.first:
            return None
        return Late(
            key=arrival.key,
            reason="ahead" if ahead else "late",
            event_ms=arrival.event_ms,
            start_ms=start,
            watermark_ms=watermark,
        )
    posts = copied.get(start)
    if posts is None:
        posts = copied[start] = dict(windows.get(start, {}))
        windows[start] = posts
    posts.setdefault(arrival.key, arrival.value)
    return None


def _arrival_watermark(
    spec: WindowSpec,
    partitions: dict[int, PartitionClock],
    arrival: Arrival,
    watermark: int | None,
) -> int | None:
    event_ms = min(arrival.event_ms, arrival.arrived_ms)
    before = partitions.get(arrival.partition)
    highest = event_ms
    if before is not None and before.max_event_ms is not None:
        highest = max(highest, before.max_event_ms)
    active_ms = arrival.arrived_ms if before is None else max(before.active_ms, arrival.arrived_ms)
    partitions[arrival.partition] = PartitionClock(max_event_ms=highest, active_ms=active_ms)
    if watermark is not None and highest - spec.delay_ms <= watermark:
        return None
    lowest = highest
    for clock in partitions.values():
        if active_ms - clock.active_ms >= spec.idle_timeout_ms:
            continue
        if clock.max_event_ms is None:
            return None
        lowest = min(lowest, clock.max_event_ms)
    return lowest - spec.delay_ms


def _idle_watermark(
    spec: WindowSpec, partitions: Iterable[PartitionClock], now_ms: int
) -> int | None:
    """Where the watermark may stand when the wall clock shows this."""
    active: list[int | None] = []
    silent: list[int] = []
    for clock in partitions:
        silence_ms = now_ms - clock.active_ms
        if silence_ms < spec.idle_timeout_ms:
            active.append(clock.max_event_ms)
        elif clock.max_event_ms is not None:
            silent.append(clock.max_event_ms + silence_ms)
    known = [event_ms for event_ms in active if event_ms is not None]
    if len(known) < len(active):
        return None
    if known:
        return min(known) - spec.delay_ms
    return max(silent) - spec.delay_ms if silent else None


def _close(
    spec: WindowSpec,
    windows: dict[int, Mapping[str, Any]],
    copied: dict[int, dict[str, Any]],
    watermark: int,
) -> Sequence[Closed]:
    due = sorted(start for start in windows if start + spec.size_ms <= watermark)
    closed = []
    for start in due:
        values = tuple(windows.pop(start).values())
        copied.pop(start, None)
        closed.append(Closed(start_ms=start, end_ms=start + spec.size_ms, values=values))
    return closed
