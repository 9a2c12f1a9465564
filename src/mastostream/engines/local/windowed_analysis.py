"""Runs one windowed analysis in the local engine, and decides when its state is stored.

Windows and positions are stored together, so they need not be stored with each batch. They are
stored when there are outputs, when there are as many new records as posts in open windows (and at
least 5,000), and otherwise every 5 seconds. After a restart the analysis reads the records since
then again, and its outputs are the same.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from mastostream.core.analyses import Analysis
from mastostream.core.windows import Closed, Late, WindowSpec, WindowState, advance, close_all
from mastostream.engines.per_post import Decoded
from mastostream.engines.window_outputs import arrivals_of, records_of, tick
from mastostream.ports.log import NewRecord, Progress

__all__ = ["Windowed"]

STORE_EVERY_RECORDS: Final = 5_000
"""Without outputs, the state is stored after this many records, or more with large windows."""

STORE_EVERY_S: Final = 5.0
"""Without outputs, the state is stored after this time, if there are new records."""


class Windowed:
    """Runs one analysis, and keeps its positions, its windows and its counts.

    Attributes:
        analysis: the analysis; it has an aggregate.
        positions: the offset of the next record to read, by partition.
        shown: results of closed windows, until :meth:`take_shown`.
    """

    def __init__(
        self, analysis: Analysis, spec: WindowSpec, progress: Progress | None, now_s: float
    ) -> None:
        self.analysis = analysis
        self.positions = dict(progress.positions) if progress else {}
        self._late = 0
        self._closed = 0
        self.shown: list[object] = []
        self._spec = spec
        self._state = (progress and progress.windows) or WindowState()
        self._unstored_records = 0
        self._has_outputs = False
        self._stored_s = now_s

    def apply(self, batch: Sequence[Decoded], now_ms: int) -> list[NewRecord]:
        """Return the records that these posts give: results, late records and dead letters."""
        self._unstored_records += len(batch)
        arrivals, letters = arrivals_of(self.analysis, batch, now_ms)
        self._state, events = advance(self._spec, self._state, (arrival for _, arrival in arrivals))
        outputs = letters + self._records(events, now_ms)
        self._has_outputs = self._has_outputs or bool(outputs)
        return outputs

    def tick(self, now_ms: int) -> list[NewRecord]:
        """Let the wall clock close windows. Call it only when all records have been read."""
        self._state, events = tick(self._spec, self._state, now_ms)
        self._has_outputs = self._has_outputs or bool(events)
        return self._records(events, now_ms)

    def close_windows(self, now_ms: int) -> list[NewRecord]:
        """Close every window, for an input that has ended."""
        self._state, events = close_all(self._spec, self._state)
        self._has_outputs = self._has_outputs or bool(events)
        return self._records(events, now_ms)

    def due(self, now_s: float) -> bool:
        """Whether the progress has to be stored now."""
        size = sum(len(posts) for posts in self._state.windows.values())
        return (
            self._has_outputs
            or self._unstored_records >= max(STORE_EVERY_RECORDS, size)
            or (self._unstored_records > 0 and now_s - self._stored_s >= STORE_EVERY_S)
        )

    def stored(self, now_s: float) -> None:
        """Note that the progress has been stored."""
        self._unstored_records, self._has_outputs, self._stored_s = 0, False, now_s

    def progress(self) -> Progress:
        """How far the analysis has read, with its open windows."""
        return Progress(positions=dict(self.positions), windows=self._state)

    def take_shown(self) -> Sequence[object]:
        """Return the results since the last call, to be shown."""
        shown, self.shown = self.shown, []
        return shown

    def take_late(self) -> int:
        """Return how many posts have come late since the last call."""
        late, self._late = self._late, 0
        return late

    def take_closed(self) -> int:
        """Return how many windows have closed since the last call."""
        closed, self._closed = self._closed, 0
        return closed

    def _records(self, events: Iterable[Closed | Late], now_ms: int) -> list[NewRecord]:
        outputs = records_of(self.analysis, events, now_ms)
        self.shown += outputs.shown
        self._late += outputs.late
        self._closed += outputs.closed
        return outputs.records
