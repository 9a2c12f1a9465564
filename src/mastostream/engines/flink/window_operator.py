"""The windows of one analysis within a Flink job, and how they are kept. Flink is not needed.

The state is in memory, as in the local engine; what changes in it is told, so that Flink's keyed
state, and with it each checkpoint, holds the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import attrs
import msgspec

from mastostream.core.analyses import Analysis
from mastostream.core.windows import (
    Closed,
    Late,
    PartitionClock,
    WindowSpec,
    WindowState,
    advance,
    close_all,
)
from mastostream.engines.flink.event_time_merge import Merge, Waiting
from mastostream.engines.flink.window_messages import decode_arrivals, decode_message
from mastostream.engines.window_outputs import records_of, tick
from mastostream.ports.log import NewRecord

__all__ = ["Changes", "Stored", "WindowOperator"]

_STARTING_MS: Final = 10_000
"""How long a job may take to read again after it has started: until then silence says nothing."""


@attrs.frozen(kw_only=True)
class Stored:
    """All that is kept.

    Attributes:
        clock: all but posts; ``None`` of a job that has kept nothing yet.
        posts: of open windows; ``start|key`` to the order of arrival and what is kept.
        batches: of which posts still wait for their turn, by their numbers.
    """

    clock: bytes | None = None
    posts: Mapping[str, bytes] = attrs.field(factory=dict)
    batches: Mapping[int, bytes] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Changes:
    """What is to be kept from now on; ``None`` in place of bytes: no longer."""

    clock: bytes | None
    posts: Mapping[str, bytes | None]
    batches: Mapping[int, bytes | None]


class _OperatorClock(msgspec.Struct):
    """How far an analysis is."""

    watermark_ms: int | None
    partitions: list[tuple[int, int | None, int]]
    released: dict[int, int]
    placed: int
    batches: int


_Name = TypeVar("_Name", str, int)
_encode: Final = msgspec.json.Encoder().encode
_decode_clock: Final = msgspec.json.Decoder(_OperatorClock).decode
_decode_post: Final = msgspec.json.Decoder(tuple[int, Any]).decode


class WindowOperator:
    """Hosts one analysis.

    Posts go into windows in the order in which the log took them, whatever the partitions. The
    wall clock closes windows only where the stream has been silent for the idle time-out: before,
    there may be records that have not been read yet.
    """

    def __init__(self, analysis: Analysis, spec: WindowSpec, stored: Stored, now_ms: int) -> None:
        """Go on from what is kept."""
        self._analysis = analysis
        self._spec = spec
        self._merge = Merge()
        self._left: Counter[int] = Counter()
        self._posts: dict[str, bytes | None] = {}
        self._batches: dict[int, bytes | None] = {}
        self._changed = False
        self._heard_ms = now_ms + max(0, _STARTING_MS - spec.idle_timeout_ms)
        self._restore(stored, now_ms)

    def take(self, message: bytes, watermark_ms: int, now_ms: int) -> list[NewRecord]:
        """Take what a batch brings, and return the records that come of it.

        Args:
            message: of :class:`arrivals.WindowMessages`.
            watermark_ms: Flink's: what the log took before has come.
            now_ms: the wall clock.
        """
        told = decode_message(message)
        self._heard_ms = max(now_ms, self._heard_ms)
        self._number += 1
        if self._wait(self._number, bytes(told.arrivals), now_ms):
            self._batches[self._number] = bytes(told.arrivals)
        self._changed = True
        return told.letters + self._release(watermark_ms, now_ms)

    def look(self, watermark_ms: int, now_ms: int) -> list[NewRecord]:
        """Let time pass, and return the records that come of it."""
        if now_ms - self._heard_ms < self._spec.idle_timeout_ms:
            return self._release(watermark_ms, now_ms)
        outputs = self._release(None, now_ms)
        after, events = tick(self._spec, self._state, now_ms)
        return outputs + self._become(after, events, now_ms)

    def end(self, now_ms: int) -> list[NewRecord]:
        """Close all windows: the input has come to its end."""
        outputs = self._release(None, now_ms)
        after, events = close_all(self._spec, self._state)
        return outputs + self._become(after, events, now_ms)

    def changes(self) -> Changes:
        """Return what has changed since the last call."""
        clock = self._clock() if self._changed else None
        changes = Changes(clock=clock, posts=self._posts, batches=self._batches)
        self._posts, self._batches, self._changed = {}, {}, False
        return changes

    def _restore(self, stored: Stored, now_ms: int) -> None:
        self._state = WindowState()
        self._released: dict[int, int] = {}
        self._placed = self._number = 0
        if stored.clock is None:
            return
        clock = _decode_clock(stored.clock)
        self._released, self._placed, self._number = clock.released, clock.placed, clock.batches
        self._state = WindowState(
            windows=_windows(stored.posts),
            partitions={
                partition: PartitionClock(max_event_ms=max_event_ms, active_ms=active_ms)
                for partition, max_event_ms, active_ms in clock.partitions
            },
            watermark_ms=clock.watermark_ms,
        )
        for number in sorted(stored.batches):
            self._wait(number, stored.batches[number], now_ms)

    def _wait(self, number: int, arrivals: bytes, now_ms: int) -> int:
        """Let a batch's posts wait but those that had their turn; return how many."""
        posts = [
            # A producer's clock that goes ahead must not hold up the others.
            Waiting(min(arrival.arrived_ms, now_ms), offset, number, arrival)
            for offset, arrival in decode_arrivals(arrivals)
            if offset > self._released.get(arrival.partition, -1)
        ]
        self._merge.add(posts)
        if posts:
            self._left[number] = len(posts)
        return len(posts)

    def _release(self, until_ms: int | None, now_ms: int) -> list[NewRecord]:
        posts = self._merge.release(until_ms)
        if not posts:
            return []
        for post in posts:
            self._released[post.arrival.partition] = post.offset
            self._left[post.batch] -= 1
            if not self._left[post.batch]:
                del self._left[post.batch]
                _forget(self._batches, post.batch)
        after, events = advance(self._spec, self._state, (post.arrival for post in posts))
        return self._become(after, events, now_ms)

    def _become(
        self, after: WindowState, events: Iterable[Closed | Late], now_ms: int
    ) -> list[NewRecord]:
        """Note what is new, and return what came of it."""
        before, self._state = self._state, after
        if after is before:
            return []
        self._changed = True
        for start_ms, posts in after.windows.items():
            known = len(before.windows.get(start_ms, ()))
            for key, value in islice(posts.items(), known, None):
                self._posts[f"{start_ms}|{key}"] = _encode((self._placed, value))
                self._placed += 1
        for start_ms in before.windows.keys() - after.windows.keys():
            for key in before.windows[start_ms]:
                _forget(self._posts, f"{start_ms}|{key}")
        return records_of(self._analysis, events, now_ms).records

    def _clock(self) -> bytes:
        return _encode(
            _OperatorClock(
                watermark_ms=self._state.watermark_ms,
                partitions=[
                    (partition, clock.max_event_ms, clock.active_ms)
                    for partition, clock in self._state.partitions.items()
                ],
                released=self._released,
                placed=self._placed,
                batches=self._number,
            )
        )


def _forget(changes: dict[_Name, bytes | None], name: _Name) -> None:
    """Keep no longer what is kept, or not at all what was not kept yet."""
    if changes.pop(name, None) is None:
        changes[name] = None


def _windows(posts: Mapping[str, bytes]) -> dict[int, dict[str, Any]]:
    """Return the windows as they were filled."""
    found = []
    for name, data in posts.items():
        start, _, key = name.partition("|")
        order, value = _decode_post(data)
        found.append((order, int(start), key, value))
    windows: dict[int, dict[str, Any]] = {}
    for _, start_ms, key, value in sorted(found, key=lambda each: each[0]):
        windows.setdefault(start_ms, {})[key] = value
    return windows
