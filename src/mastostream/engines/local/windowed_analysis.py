"""Runs one windowed analysis in the local engine, and decides when its windows are written.

What is known of the posts is in the log's store, and here only as far as it has changed since the
last commit. Changes, outputs and positions are committed together: when there are outputs, when
enough posts have changed, and otherwise every few seconds. After a restart the analysis reads the
records since then again.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from mastostream.core.analyses import Analysis
from mastostream.core.windows import (
    Entry,
    PostState,
    WindowSpec,
    add_deletion,
    add_version,
    decode_state,
    encode_state,
    entry_of,
    windows_of,
)
from mastostream.engines.outputs import Calls
from mastostream.engines.per_post import Decoded
from mastostream.engines.window_outputs import sightings_of, window_records
from mastostream.ports.log import NewRecord, Progress, WindowChanges, WindowStore

__all__ = ["WindowTiming", "Windowed"]

STORE_POSTS: Final = 5_000
"""Without outputs, changes are stored when records of so many posts have come."""

STORE_EVERY_S: Final = 5.0
"""Without outputs, changes are stored after this time."""

FORGET_MARGIN_MS: Final = 24 * 3_600_000
"""How long a post is known after the horizon has passed since its last change: one day, for a log
that takes records later than they were observed."""

_MOST_FORGOTTEN: Final = 2_000
"""How many posts one commit forgets at most."""


@attrs.frozen(kw_only=True)
class WindowTiming:
    """When the records of windows are written.

    Attributes:
        delay_s: seconds after the end of a window until its first record.
        correct_every_s: seconds between two records of a window that goes on changing; infinite for
            windows that are not corrected.
        at_end: whether each window is written once, when the input has ended.
    """

    delay_s: float = 30.0
    correct_every_s: float = 10.0
    at_end: bool = False


class Windowed:
    """Runs one analysis, and keeps its positions, its counts and what has changed in its windows.

    Attributes:
        analysis: the analysis; it has an aggregate.
        positions: the offset of the next record to read, by partition.
        shown: results of windows that were written, until :meth:`take_shown`.
        calls: how often the functions of the aggregate were called, and failed.
    """

    def __init__(  # noqa: PLR0913 - each is another thing
        self,
        analysis: Analysis,
        spec: WindowSpec,
        timing: WindowTiming,
        *,
        store: WindowStore,
        progress: Progress | None,
        now_s: float,
    ) -> None:
        """Continue where the store is.

        Args:
            analysis: the analysis; it has an aggregate.
            spec: the rules of its windows.
            timing: when their records are written.
            store: what was known at the last commit.
            progress: how far the analysis has read; ``None`` for one that has read nothing yet.
            now_s: the monotonic clock, in seconds.
        """
        self.analysis = analysis
        self.positions = dict(progress.positions) if progress else {}
        self.shown: list[object] = []
        self.calls = {"value": Calls("posts"), "result": Calls("windows")}
        self._spec = spec
        self._timing = timing
        self._store = store
        self._late = self._written = 0
        notes = store.windows()
        self._to_write = {start for start, to_write in notes.items() if to_write}
        self._final = {start for start, to_write in notes.items() if not to_write}
        self._written_s: dict[int, float] = {}
        # The newest observation, and the monotonic clock then: a time that goes on in silence, and
        # that is right for a simulated clock, too.
        self._newest_ms = max(self._to_write, default=-math.inf) + spec.size_ms
        self._newest_s = now_s
        self._logged_ms = 0
        self._has_outputs = False
        self._stored_s = now_s
        self._forget_changes()

    def apply(self, batch: Sequence[Decoded], now_ms: int, now_s: float) -> list[NewRecord]:
        """Note what these records say of posts; return late records and dead letters."""
        found = sightings_of(self.analysis, self._spec, batch, now_ms)
        self._late += found.late
        self._count("value", len(found.sightings) + len(found.errors), found.errors)
        self._load([sighting.key for sighting in found.sightings])
        for sighting in found.sightings:
            key = sighting.key
            before = self._posts[key]
            after = (
                add_deletion(before, sighting.observed_ms)
                if sighting.created_ms is None
                else add_version(before, sighting.created_ms, sighting.observed_ms, sighting.value)
            )
            if sighting.observed_ms > self._newest_ms:
                self._newest_ms, self._newest_s = sighting.observed_ms, now_s
            self._logged_ms = max(self._logged_ms, sighting.logged_ms)
            if after != before:
                self._change(key, before, after, sighting.logged_ms)
        self._has_outputs = self._has_outputs or bool(found.records)
        return found.records

    def write(
        self, now_ms: int, now_s: float, most: int, *, ended: bool = False
    ) -> list[NewRecord]:
        """Return the records of windows that are due, the oldest first.

        Args:
            now_ms: the wall clock, in milliseconds since the epoch, for dead letters.
            now_s: the monotonic clock, in seconds.
            most: how many windows are written at most.
            ended: whether the input has ended, so that every window is due.
        """
        due = self._to_write if ended else self._due(now_s)
        records: list[NewRecord] = []
        for start in heapq.nsmallest(most, due):
            entries = self._entries(start)
            if entries:
                outputs = window_records(self.analysis, start, entries, now_ms)
                records += outputs.records
                self._count("result", 1, [outputs.error] if outputs.error else [])
                self.shown += outputs.shown
            self._to_write.discard(start)
            self._written += 1
            self._written_s[start] = now_s
            if math.isinf(self._timing.correct_every_s):
                self._final.add(start)
            self._noted.add(start)
            self._has_outputs = True
        return records

    @property
    def has_to_write(self) -> bool:
        """Whether a window has changed since it was written."""
        return bool(self._to_write)

    def due(self, now_s: float) -> bool:
        """Whether the progress has to be stored now."""
        return (
            self._has_outputs
            or len(self._posts) >= STORE_POSTS
            or now_s - self._stored_s >= STORE_EVERY_S
        )

    def stored(self, now_s: float) -> None:
        """Note that the progress is being stored, as :meth:`progress` has returned it."""
        self._forget_changes()
        self._has_outputs, self._stored_s = False, now_s
        since_s = now_s - min(self._timing.correct_every_s, 3_600.0)
        if any(written_s < since_s for written_s in self._written_s.values()):
            self._written_s = {
                start: written_s
                for start, written_s in self._written_s.items()
                if written_s >= since_s
            }

    def progress(self) -> Progress:
        """How far the analysis has read, with what has changed in its windows."""
        self._forget_posts()
        changes = WindowChanges(
            posts={
                key: None if state is None else (encode_state(state), self._changed[key])
                for key in self._changed
                for state in (self._posts[key],)
            },
            members={
                (start, key): has
                for start, keys in self._members.items()
                for key, has in keys.items()
            },
            windows={start: self._note(start) for start in self._noted},
        )
        return Progress(positions=dict(self.positions), windows=changes)

    def complaints(self) -> list[str]:
        """Return what is wrong with the analysis; nothing if it works nine times of ten."""
        return [calls.complaint for calls in self.calls.values() if calls.complaint]

    def take_shown(self) -> Sequence[object]:
        """Return the results since the last call, to be shown."""
        shown, self.shown = self.shown, []
        return shown

    def take_late(self) -> int:
        """Return how many late records there were since the last call."""
        late, self._late = self._late, 0
        return late

    def take_written(self) -> int:
        """Return how many windows were written since the last call."""
        written, self._written = self._written, 0
        return written

    def _count(self, function: str, done: int, errors: Sequence[str]) -> None:
        calls = self.calls[function]
        calls.done += done
        calls.failed += len(errors)
        calls.error = errors[-1] if errors else calls.error

    def _forget_changes(self) -> None:
        self._posts: dict[str, PostState | None] = {}
        self._changed: dict[str, int] = {}
        self._members: dict[int, dict[str, bool]] = {}
        self._noted: set[int] = set()

    def _load(self, keys: Sequence[str]) -> None:
        """Have the states of these posts at hand; ``None`` for those that are not known."""
        missing = list(dict.fromkeys(key for key in keys if key not in self._posts))
        if missing:
            known = self._store.posts(missing)
            for key in missing:
                data = known.get(key)
                self._posts[key] = None if data is None else decode_state(data)

    def _change(self, key: str, before: PostState | None, after: PostState, logged_ms: int) -> None:
        self._posts[key] = after
        self._changed[key] = max(logged_ms, self._changed.get(key, 0))
        known = () if before is None else windows_of(self._spec, before)
        for start in windows_of(self._spec, after):
            if start not in known:
                self._members.setdefault(start, {})[key] = True
            if start not in self._final:
                self._to_write.add(start)
                self._noted.add(start)

    def _due(self, now_s: float) -> list[int]:
        if self._timing.at_end:
            return []
        delay_s, every_s = self._timing.delay_s, self._timing.correct_every_s
        over_ms = self._newest_ms + (now_s - self._newest_s - delay_s) * 1000 - self._spec.size_ms
        written_s = self._written_s
        return [
            start
            for start in self._to_write
            if start <= over_ms and now_s - written_s.get(start, -math.inf) >= every_s
        ]

    def _entries(self, start_ms: int) -> dict[str, Entry]:
        """Return the entries of a window, as the store and the changes since have it."""
        stored: Mapping[str, bytes] = self._store.window(start_ms)
        states: dict[str, PostState] = {}
        changed = self._changed
        for key, data in stored.items():
            if key not in changed:
                states[key] = decode_state(data)
            elif (state := self._posts[key]) is not None:
                states[key] = state
        for key, has in self._members.get(start_ms, {}).items():
            state = self._posts[key]
            if has and state is not None:
                states[key] = state
        return {key: entry_of(self._spec, state, start_ms) for key, state in states.items()}

    def _note(self, start_ms: int) -> bool | None:
        if start_ms in self._to_write:
            return True
        return False if start_ms in self._final else None

    def _forget_posts(self) -> None:
        """Forget posts of which nothing can change any more."""
        before_ms = self._logged_ms - self._spec.horizon_ms - FORGET_MARGIN_MS
        for key, data in self._store.unchanged_since(before_ms, _MOST_FORGOTTEN).items():
            if key in self._changed:
                continue
            self._posts[key] = None
            self._changed[key] = 0
            for start in windows_of(self._spec, decode_state(data)):
                self._members.setdefault(start, {})[key] = False
