"""The position and the windows of one analysis, and when they are to be stored.

Its state is stored with its own position. So it need not be stored with each batch: when a window
has closed, when enough new posts have come to be worth the writing, and now and then. After a
restart it reads again what came since, and its outputs are the same.
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
STORE_EVERY_S: Final = 5.0


class Windowed:
    """Hosts one analysis: its position, its windows, and what they bring."""

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
        self._since = 0
        self._has_outputs = False
        self._stored_s = now_s

    def apply(self, batch: Sequence[Decoded], now_ms: int) -> list[NewRecord]:
        """Return the records that these posts give: of windows that close, and of late posts."""
        self._since += len(batch)
        arrivals, letters = arrivals_of(self.analysis, batch, now_ms)
        self._state, events = advance(self._spec, self._state, (arrival for _, arrival in arrivals))
        outputs = letters + self._records(events, now_ms)
        self._has_outputs = self._has_outputs or bool(outputs)
        return outputs

    def tick(self, now_ms: int) -> list[NewRecord]:
        """Let the wall clock close windows; only where all records have been read."""
        self._state, events = tick(self._spec, self._state, now_ms)
        self._has_outputs = self._has_outputs or bool(events)
        return self._records(events, now_ms)

    def close_windows(self, now_ms: int) -> list[NewRecord]:
        """Close every window: the input has come to its end."""
        self._state, events = close_all(self._spec, self._state)
        self._has_outputs = self._has_outputs or bool(events)
        return self._records(events, now_ms)

    def due(self, now_s: float) -> bool:
        """Whether its progress has to be stored now."""
        size = sum(len(posts) for posts in self._state.windows.values())
        return (
            self._has_outputs
            or self._since >= max(STORE_EVERY_RECORDS, size)
            or (self._since > 0 and now_s - self._stored_s >= STORE_EVERY_S)
        )

    def stored(self, now_s: float) -> None:
        """Its progress is stored."""
        self._since, self._has_outputs, self._stored_s = 0, False, now_s

    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(positions=dict(self.positions), windows=self._state)

    def take_shown(self) -> Sequence[object]:
        """Hand over the results that are only shown."""
        shown, self.shown = self.shown, []
        return shown

    def take_late(self) -> int:
        """Hand over how many posts came late."""
        late, self._late = self._late, 0
        return late

    def take_closed(self) -> int:
        """Hand over how many windows were closed."""
        closed, self._closed = self._closed, 0
        return closed

    def _records(self, events: Iterable[Closed | Late], now_ms: int) -> list[NewRecord]:
        brought = records_of(self.analysis, events, now_ms)
        self.shown += brought.shown
        self._late += brought.late
        self._closed += brought.closed
        return brought.records
