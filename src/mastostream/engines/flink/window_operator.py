"""The windows of one analysis within a Flink job, and their state.

This module does not import Flink. The state is in memory, as in the local engine. The operator
reports each change of it, so that Flink's keyed state, and with it each checkpoint, has the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from operator import itemgetter
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

_START_GRACE_MS: Final = 10_000
"""After a start, silence closes no window before this time: the job may need it to read again."""


@attrs.frozen(kw_only=True)
class Stored:
    """The whole state of an operator, as it is stored in Flink.

    Attributes:
        clock: the state without posts; ``None`` for a job that has not stored anything yet.
        posts: the posts of open windows. Names are ``start|key``, with the start of the window in
            milliseconds since the epoch; the data has the order of arrival and the kept value.
        batches: the batches of which some posts still wait, by their numbers.
    """

    clock: bytes | None = None
    posts: Mapping[str, bytes] = attrs.field(factory=dict)
    batches: Mapping[int, bytes] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Changes:
    """The changes to :class:`Stored`.

    Attributes:
        clock: the new clock; ``None`` if it has not changed.
        posts: new data by name; ``None`` removes it.
        batches: new data by number; ``None`` removes it.
    """

    clock: bytes | None
    posts: Mapping[str, bytes | None]
    batches: Mapping[int, bytes | None]


class _OperatorClock(msgspec.Struct):
    """The state of an operator without its posts. The names of the fields are stored.

    Attributes:
        watermark_ms: the watermark of the windows.
        partitions: partition, highest event time, and wall clock at its last post.
        released: the offset of the last post that went into windows, by partition.
        placed: the number of posts that windows have kept so far.
        batches: the number of the last batch.
    """

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
    """Runs the windows of one analysis.

    Posts go into windows in the order of the log's timestamps, whatever their partitions. The wall
    clock closes windows only after the stream has been silent for the idle time-out: before that,
    there may be records that have not been read yet.
    """

    def __init__(self, analysis: Analysis, spec: WindowSpec, stored: Stored, now_ms: int) -> None:
        """Restore the state.

        Args:
            analysis: an analysis with an aggregate.
            spec: the rules of its windows.
            stored: the state that Flink has; empty for a new job.
            now_ms: the wall clock, in milliseconds since the epoch.
        """
        self._analysis = analysis
        self._spec = spec
        self._merge = Merge()
        self._waiting_of: Counter[int] = Counter()
        self._posts: dict[str, bytes | None] = {}
        self._batches: dict[int, bytes | None] = {}
        self._changed = False
        self._silent_since_ms = now_ms + max(0, _START_GRACE_MS - spec.idle_timeout_ms)
        self._restore(stored, now_ms)

    def take(self, message: bytes, watermark_ms: int, now_ms: int) -> list[NewRecord]:
        """Add the posts of a batch, and return the records that can be written now.

        Args:
            message: a message of :class:`window_messages.WindowMessages`.
            watermark_ms: Flink's watermark: no record with an older timestamp will come.
            now_ms: the wall clock, in milliseconds since the epoch.
        """
        decoded = decode_message(message)
        self._silent_since_ms = max(now_ms, self._silent_since_ms)
        self._batch_number += 1
        if self._add_waiting(self._batch_number, bytes(decoded.arrivals), now_ms):
            self._batches[self._batch_number] = bytes(decoded.arrivals)
        self._changed = True
        return decoded.letters + self._release(watermark_ms, now_ms)

    def tick(self, watermark_ms: int, now_ms: int) -> list[NewRecord]:
        """Let the wall clock move on, and return the records that can be written now.

        After a silence of the idle time-out, all waiting posts go into windows, and windows close.
        """
        if now_ms - self._silent_since_ms < self._spec.idle_timeout_ms:
            return self._release(watermark_ms, now_ms)
        outputs = self._release(None, now_ms)
        after, events = tick(self._spec, self._state, now_ms)
        return outputs + self._set_state(after, events, now_ms)

    def end(self, now_ms: int) -> list[NewRecord]:
        """Close all windows, for an input that has ended, and return their records."""
        outputs = self._release(None, now_ms)
        after, events = close_all(self._spec, self._state)
        return outputs + self._set_state(after, events, now_ms)

    def changes(self) -> Changes:
        """Return the changes of the state since the last call."""
        clock = self._clock() if self._changed else None
        changes = Changes(clock=clock, posts=self._posts, batches=self._batches)
        self._posts, self._batches, self._changed = {}, {}, False
        return changes

    def _restore(self, stored: Stored, now_ms: int) -> None:
        self._state = WindowState()
        self._released: dict[int, int] = {}
        self._placed = self._batch_number = 0
        if stored.clock is None:
            return
        clock = _decode_clock(stored.clock)
        self._released, self._placed = clock.released, clock.placed
        self._batch_number = clock.batches
        self._state = WindowState(
            windows=_windows(stored.posts),
            partitions={
                partition: PartitionClock(max_event_ms=max_event_ms, active_ms=active_ms)
                for partition, max_event_ms, active_ms in clock.partitions
            },
            watermark_ms=clock.watermark_ms,
        )
        for number in sorted(stored.batches):
            self._add_waiting(number, stored.batches[number], now_ms)

    def _add_waiting(self, number: int, arrivals: bytes, now_ms: int) -> int:
        """Add a batch's posts to those that wait, and return their number.

        After a restart, posts of the batch that are in windows already are left out.
        """
        posts = [
            # Where the clock of a producer is ahead, its posts must not hold up the others.
            Waiting(min(arrival.arrived_ms, now_ms), offset, number, arrival)
            for offset, arrival in decode_arrivals(arrivals)
            if offset > self._released.get(arrival.partition, -1)
        ]
        self._merge.add(posts)
        if posts:
            self._waiting_of[number] = len(posts)
        return len(posts)

    def _release(self, until_ms: int | None, now_ms: int) -> list[NewRecord]:
        posts = self._merge.release(until_ms)
        if not posts:
            return []
        for post in posts:
            self._released[post.arrival.partition] = post.offset
            self._waiting_of[post.batch] -= 1
            if not self._waiting_of[post.batch]:
                del self._waiting_of[post.batch]
                _forget(self._batches, post.batch)
        after, events = advance(self._spec, self._state, (post.arrival for post in posts))
        return self._set_state(after, events, now_ms)

    def _set_state(
        self, after: WindowState, events: Iterable[Closed | Late], now_ms: int
    ) -> list[NewRecord]:
        """Change the state, note what has to be stored, and return the records of the events."""
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
                batches=self._batch_number,
            )
        )


def _forget(changes: dict[_Name, bytes | None], name: _Name) -> None:
    """Note that data has to be removed; data that is not stored yet is just not stored."""
    if changes.pop(name, None) is None:
        changes[name] = None


def _windows(posts: Mapping[str, bytes]) -> dict[int, dict[str, Any]]:
    """Return the windows by their starts, with their posts in the order of arrival."""
    arrived = []
    for name, data in posts.items():
        start, _, key = name.partition("|")
        order, value = _decode_post(data)
        arrived.append((order, int(start), key, value))
    windows: dict[int, dict[str, Any]] = {}
    for _, start_ms, key, value in sorted(arrived, key=itemgetter(0)):
        windows.setdefault(start_ms, {})[key] = value
    return windows
