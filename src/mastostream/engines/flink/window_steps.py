"""The two steps of a Flink job that keep state for windowed analyses.

This module does not import Flink. The first step is keyed by analysis and post, and has what is
known of the post. The second is keyed by analysis and window, and has the entries of its posts.
Each change of a post writes its state and its entries, and nothing of other posts.

The order in which posts come does not matter, nor does it matter that some come again after a
restart: see :mod:`core.windows`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from mastostream.core.analyses import Analysis
from mastostream.core.windows import (
    WindowSpec,
    add_deletion,
    add_version,
    decode_state,
    encode_state,
    entries,
)
from mastostream.engines.flink.window_messages import (
    decode_entry,
    decode_message,
    encode_entry,
)
from mastostream.engines.local.windowed_analysis import FORGET_MARGIN_MS, WindowTiming
from mastostream.engines.window_outputs import spec_of, window_records
from mastostream.exceptions import FatalError
from mastostream.ports.log import NewRecord

__all__ = [
    "END_MS",
    "Entries",
    "KnownPosts",
    "KnownWindows",
    "StoredValue",
    "Timers",
    "beat",
    "check_beat",
    "keep_ms",
]

END_MS: Final = 2**63 - 1
"""Flink's watermark when the input has ended: the largest 64-bit integer."""

_BEAT_MS: Final = 60_000
"""The time between two heartbeats."""


class StoredValue(Protocol):
    """Flink's ``ValueState`` of the current key."""

    def value(self) -> bytes | None: ...

    def update(self, value: bytes) -> None: ...


class Entries(Protocol):
    """Flink's ``MapState`` of the current key."""

    def put(self, key: str, value: bytes) -> None: ...

    def items(self) -> Iterable[tuple[str, bytes]]: ...


class Timers(Protocol):
    """Flink's ``TimerService`` of the current key. Times are milliseconds since the epoch."""

    def register_processing_time_timer(self, t: int) -> None: ...

    def register_event_time_timer(self, t: int) -> None: ...

    def delete_event_time_timer(self, t: int) -> None: ...


def keep_ms(analyses: Sequence[Analysis], horizon_ms: int) -> int:
    """Return how long after its last change state is kept, in milliseconds of the wall clock.

    A post of a window may change until the horizon has passed since its creation, and the window
    is then written again with all its posts: those that were written a window's length earlier,
    too.
    """
    sizes = [spec_of(analysis, horizon_ms).size_ms for analysis in analyses]
    return horizon_ms + max(sizes) + FORGET_MARGIN_MS


class KnownPosts:
    """The step that has what is known of a post, for one analysis."""

    def __init__(self, analyses: Sequence[Analysis], horizon_ms: int, state: StoredValue) -> None:
        """Prepare the step.

        Args:
            analyses: each has an aggregate.
            horizon_ms: how long after its creation a post may be observed and still count.
            state: the state of the current post.
        """
        self._specs = {analysis.name: spec_of(analysis, horizon_ms) for analysis in analyses}
        self._state = state

    def take(self, analysis: str, post: str, message: bytes) -> list[tuple[str, str, bytes]]:
        """Apply a message to the state of its post.

        Returns:
            What has changed in windows: the key of each window, the key of the post, its entry.
        """
        observed_ms, created_ms, value = decode_message(message)
        stored = self._state.value()
        before = None if stored is None else decode_state(stored)
        after = (
            add_deletion(before, observed_ms)
            if created_ms is None
            else add_version(before, created_ms, observed_ms, value)
        )
        if after == before:
            return []
        self._state.update(encode_state(after))
        spec = self._specs[analysis]
        known = entries(spec, before)
        return [
            (_window_key(start_ms, analysis), post, encode_entry(entry))
            for start_ms, entry in entries(spec, after).items()
            if entry != known.get(start_ms)
        ]


class _Schedule(msgspec.Struct, array_like=True, frozen=True):
    """When a window is written.

    Attributes:
        due_ms: when it is written next; ``None`` if it has not changed since it was written.
        written_ms: when it was written last; ``None`` if it was not.
    """

    due_ms: int | None = None
    written_ms: int | None = None


_encode_schedule: Final = msgspec.json.Encoder().encode
_decode_schedule: Final = msgspec.json.Decoder(_Schedule).decode


class KnownWindows:
    """The step that has the entries of a window, and writes its records.

    A timer in processing time writes the window when it is due, and one in event time at the end of
    the input.
    """

    def __init__(
        self,
        analyses: Sequence[Analysis],
        horizon_ms: int,
        timing: WindowTiming,
        entries: Entries,
        schedule: StoredValue,
    ) -> None:
        """Prepare the step.

        Args:
            analyses: each has an aggregate.
            horizon_ms: how long after its creation a post may be observed and still count.
            timing: when windows are written.
            entries: the entries of the current window, by the keys of its posts.
            schedule: when the current window is written.
        """
        self._analyses: Mapping[str, tuple[Analysis, WindowSpec]] = {
            analysis.name: (analysis, spec_of(analysis, horizon_ms)) for analysis in analyses
        }
        self._timing = timing
        self._entries = entries
        self._schedule = schedule

    def take(self, window: str, post: str, entry: bytes, timers: Timers, now_ms: int) -> None:
        """Set the entry of a post, and see to it that the window is written.

        Args:
            window: the key of the window, as :meth:`KnownPosts.take` returned it.
            post: the key of the post.
            entry: the new entry.
            timers: the timers of the window.
            now_ms: the wall clock, in milliseconds since the epoch.
        """
        self._entries.put(post, entry)
        start_ms, name = _window_of(window)
        end_ms = start_ms + self._analyses[name][1].size_ms
        before = self._stored_schedule()
        after = _changed(before, self._timing, end_ms, decode_entry(entry).observed_ms, now_ms)
        if after == before:
            return
        self._schedule.update(_encode_schedule(after))
        timers.register_event_time_timer(END_MS)
        if after.due_ms is not None and not self._timing.at_end:
            timers.register_processing_time_timer(after.due_ms)

    def fire(self, window: str, time_ms: int, timers: Timers, now_ms: int) -> list[NewRecord]:
        """Return the records of a window if it is due.

        Args:
            window: the key of the window.
            time_ms: the time of the timer that fires.
            timers: the timers of the window.
            now_ms: the wall clock, in milliseconds since the epoch.
        """
        start_ms, name = _window_of(window)
        due_ms = self._stored_schedule().due_ms
        # An earlier time may have been set since. A savepoint may be older than the list of
        # analyses.
        if due_ms is None or due_ms > time_ms or name not in self._analyses:
            return []
        self._schedule.update(_encode_schedule(_Schedule(written_ms=now_ms)))
        timers.delete_event_time_timer(END_MS)
        window_entries = {post: decode_entry(data) for post, data in self._entries.items()}
        return window_records(self._analyses[name][0], start_ms, window_entries, now_ms).records

    def _stored_schedule(self) -> _Schedule:
        stored = self._schedule.value()
        return _Schedule() if stored is None else _decode_schedule(stored)


def beat(timers: Timers, now_ms: int) -> None:
    """Set the timer of the next heartbeat, at a whole minute."""
    timers.register_processing_time_timer((now_ms // _BEAT_MS + 1) * _BEAT_MS)


def check_beat(time_ms: int, now_ms: int) -> None:
    """Check that a job does not go on from a state that is too old.

    Flink's time-to-live of state knows the wall clock alone. After an outage it has forgotten what
    the records since then need; after one that is longer than the margin, windows would be wrong.

    Args:
        time_ms: the time of the heartbeat's timer, in milliseconds since the epoch. Timers are part
            of the state; after an outage they fire late.
        now_ms: the wall clock when it fires.

    Raises:
        FatalError: it fires later than the margin allows.
    """
    late_ms = now_ms - time_ms
    if late_ms > FORGET_MARGIN_MS:
        raise FatalError(
            f"this job was down for {late_ms / 86_400_000:.1f} days, and its windows may have lost "
            "posts meanwhile: start it anew, without a savepoint or a checkpoint, so that it reads "
            "the topic from the beginning"
        )


def _changed(
    schedule: _Schedule, timing: WindowTiming, end_ms: int, observed_ms: int, now_ms: int
) -> _Schedule:
    """Return when a window is written of which a post has changed.

    A window is over by the delay when the delay has passed since the observation of its end. That
    is a time of the posts, whose clock may be another one than ours. So the time from the newest
    observation to the window's end, and the delay, are added to our clock.
    """
    if schedule.written_ms is None:
        due_ms = _whole(now_ms + timing.delay_s * 1000 + max(0, end_ms - observed_ms))
        if schedule.due_ms is None or due_ms < schedule.due_ms:
            return _Schedule(due_ms=due_ms)
    elif schedule.due_ms is None and not math.isinf(timing.correct_every_s):
        due_ms = _whole(max(now_ms, schedule.written_ms + timing.correct_every_s * 1000))
        return _Schedule(due_ms=due_ms, written_ms=schedule.written_ms)
    return schedule


def _whole(time_ms: float) -> int:
    """Round a time up to a whole second: Flink keeps timers of one window and one time as one."""
    return math.ceil(time_ms / 1_000) * 1_000


def _window_key(start_ms: int, analysis: str) -> str:
    return f"{start_ms}|{analysis}"


def _window_of(key: str) -> tuple[int, str]:
    start, _, analysis = key.partition("|")
    return int(start), analysis
