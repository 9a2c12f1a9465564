"""Tumbling windows in event time, as a pure state machine.

A window is ``[start, end)`` and is aligned to the epoch. Each partition has its highest event time.
The watermark is the lowest of these over all partitions that are not idle, minus the allowed delay;
it never goes back. A window closes when the watermark reaches its end. A post is counted once, in
the window of its event time: only the first record of a key counts.

If all partitions have been idle for longer than the idle timeout, their event times are taken to
move on with the wall clock since their last post. So a live stream closes its windows soon after it
falls silent, and the watermark of a replay of old posts does not jump to the present.

All times are milliseconds since the epoch. The functions read no clock: time comes in with
:class:`Arrival` and :class:`Tick`.
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
"""Default of ``WindowSpec.ahead_ms``: one hour. The clocks of servers differ by minutes; without a
bound, one post with an event time in the year 9999 would close every window."""


@attrs.frozen(kw_only=True)
class WindowSpec:
    """How posts are assigned to windows. All are milliseconds.

    Attributes:
        size_ms: length of a window, above 0.
        delay_ms: how long the watermark waits for posts out of order, at least 0.
        idle_timeout_ms: how long a partition may bring no post before it is idle, above 0.
        ahead_ms: how far the event time of a post may be after its arrival, at least 0.
    """

    size_ms: int = attrs.field(validator=attrs.validators.gt(0))
    delay_ms: int = attrs.field(default=30_000, validator=attrs.validators.ge(0))
    idle_timeout_ms: int = attrs.field(default=30_000, validator=attrs.validators.gt(0))
    ahead_ms: int = attrs.field(default=AHEAD_MS, validator=attrs.validators.ge(0))

    def start_of(self, event_ms: int) -> int:
        """Return the start of the window that contains an event time."""
        return event_ms - event_ms % self.size_ms


@attrs.frozen(kw_only=True)
class Arrival:
    """The event that a post has arrived.

    Attributes:
        partition: partition from which the post was read.
        key: key of the post; a window counts each key once.
        event_ms: event time: when the post was written.
        arrived_ms: when the log took the post. A later event time than this is treated as this time
            when the watermark is computed.
        first: whether the post was observed for the first time (``new``). Other events of a post
            are never reported as late.
        value: what the window keeps of the post.
    """

    partition: int
    key: str
    event_ms: int
    arrived_ms: int
    first: bool = True
    value: Any = None


@attrs.frozen(kw_only=True)
class Tick:
    """The event that the wall clock has moved on.

    Attributes:
        now_ms: time of the wall clock.
    """

    now_ms: int


@attrs.frozen(kw_only=True)
class Closed:
    """The output for a window that has closed.

    Attributes:
        start_ms: first moment of the window.
        end_ms: first moment after the window.
        values: values of the window's posts, in the order of arrival; one for each key.
    """

    start_ms: int
    end_ms: int
    values: tuple[Any, ...]


@attrs.frozen(kw_only=True)
class Late:
    """The output for a post that is in no window.

    Attributes:
        key: key of the post.
        reason: ``late`` if its window had closed, ``ahead`` if its event time is more than
            ``WindowSpec.ahead_ms`` after its arrival.
        event_ms: event time of the post.
        start_ms: start of the window that it belongs to.
        watermark_ms: the watermark when it arrived, ``None`` before the first post.
    """

    key: str
    reason: Literal["late", "ahead"]
    event_ms: int
    start_ms: int
    watermark_ms: int | None


@attrs.frozen(kw_only=True)
class PartitionClock:
    """The progress of one partition.

    Attributes:
        max_event_ms: highest event time of its posts, ``None`` before its first post.
        active_ms: time of the wall clock at which its last post arrived.
    """

    max_event_ms: int | None
    active_ms: int


@attrs.frozen(kw_only=True)
class WindowState:
    """The whole state of a windowed analysis. Treat the mappings as immutable.

    Attributes:
        windows: start of each open window, to the keys of its posts, each with the post's value.
        partitions: number of each partition, to its progress.
        watermark_ms: windows that end at this time or before are closed; ``None`` before the first
            post.
    """

    windows: Mapping[int, Mapping[str, Any]] = attrs.field(factory=dict)
    partitions: Mapping[int, PartitionClock] = attrs.field(factory=dict)
    watermark_ms: int | None = None


def advance(
    spec: WindowSpec, state: WindowState, events: Iterable[Arrival | Tick]
) -> tuple[WindowState, tuple[Closed | Late, ...]]:
    """Apply events in their order, and return the new state and the outputs.

    ``state`` is not changed. It makes no difference to the outputs how the events are divided into
    calls. Each call copies each window that it changes once, so that large batches are faster.
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
    """Close every open window, because the input has ended.

    The watermark moves to the end of the last window.
    """
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
    """Put a post into its window, or return why no window takes it.

    ``windows`` is changed. ``copied`` has the windows that this call of :func:`advance` has copied,
    so that it may change them in place.
    """
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
    """Return the watermark after a post, or ``None`` if it does not move; update ``partitions``."""
    event_ms = min(arrival.event_ms, arrival.arrived_ms)
    last = partitions.get(arrival.partition)
    highest = event_ms
    if last is not None and last.max_event_ms is not None:
        highest = max(highest, last.max_event_ms)
    active_ms = arrival.arrived_ms if last is None else max(last.active_ms, arrival.arrived_ms)
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
    """Return the watermark at a time of the wall clock, or ``None`` if it is not known.

    While a partition is active, the idle ones do not count. If all are idle, each moves on with the
    wall clock from its last post.
    """
    active: list[int | None] = []
    idle: list[int] = []
    for clock in partitions:
        silence_ms = now_ms - clock.active_ms
        if silence_ms < spec.idle_timeout_ms:
            active.append(clock.max_event_ms)
        elif clock.max_event_ms is not None:
            idle.append(clock.max_event_ms + silence_ms)
    known = [event_ms for event_ms in active if event_ms is not None]
    if len(known) < len(active):
        return None
    if known:
        return min(known) - spec.delay_ms
    return max(idle) - spec.delay_ms if idle else None


def _close(
    spec: WindowSpec,
    windows: dict[int, Mapping[str, Any]],
    copied: dict[int, dict[str, Any]],
    watermark: int,
) -> Sequence[Closed]:
    """Take the windows that the watermark has reached out of ``windows``, oldest first."""
    due = sorted(start for start in windows if start + spec.size_ms <= watermark)
    closed = []
    for start in due:
        values = tuple(windows.pop(start).values())
        copied.pop(start, None)
        closed.append(Closed(start_ms=start, end_ms=start + spec.size_ms, values=values))
    return closed
