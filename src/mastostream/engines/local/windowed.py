"""An analysis that works window by window.

Its state is stored with its own position. So it need not be stored with each batch: when a window
has closed, when enough new posts have come to be worth the writing, and now and then. After a
restart it reads again what came since, and its outputs are the same.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from mastostream.core.analyses import Analysis
from mastostream.core.codec import encode
from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.core.metrics import LateRecord, from_ms, to_ms, window_of
from mastostream.core.models import Post
from mastostream.core.topics import DEAD_LETTERS, LATE
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
from mastostream.engines.outputs import dead_letter, each, explain, to_record
from mastostream.engines.per_post import Decoded
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

    def apply(self, batch: Iterable[Decoded], now_ms: int) -> list[NewRecord]:
        """Return the records that these posts give: of windows that close, and of late posts."""
        aggregate = self.analysis.aggregate
        assert aggregate is not None  # noqa: S101 - the engine sorts analyses by their kind
        outputs: list[NewRecord] = []
        arrivals: list[Arrival] = []
        for record, item in batch:
            self._since += 1
            if type(item) is not Post:
                continue
            try:
                value = aggregate.value(item)
                encode(value)
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything
                outputs.append(dead_letter(record, self._stage, (explain(error),), now_ms))
                continue
            arrivals.append(
                Arrival(
                    partition=record.partition,
                    key=item.key,
                    event_ms=to_ms(item.created_at),
                    arrived_ms=record.timestamp_ms,
                    first=item.event == "new",
                    value=value,
                )
            )
        self._state, events = advance(self._spec, self._state, arrivals)
        outputs.extend(self._records(events, now_ms))
        self._has_outputs = self._has_outputs or bool(outputs)
        return outputs

    def tick(self, now_ms: int) -> list[NewRecord]:
        """Let the wall clock close windows; only where all records have been read."""
        if not self._state.windows:
            return []
        self._state, events = advance(self._spec, self._state, (Tick(now_ms=now_ms),))
        outputs = self._records(events, now_ms)
        self._has_outputs = self._has_outputs or bool(events)
        return outputs

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

    @property
    def _stage(self) -> str:
        return f"analyze:{self.analysis.name}"

    def _records(self, events: Iterable[Closed | Late], now_ms: int) -> list[NewRecord]:
        outputs: list[NewRecord] = []
        for event in events:
            if isinstance(event, Late):
                self._late += 1
                outputs.append(self._late_record(event, now_ms))
            else:
                self._closed += 1
                outputs.extend(self._window_records(event, now_ms))
        return outputs

    def _late_record(self, late: Late, now_ms: int) -> NewRecord:
        record = LateRecord(
            key=late.key,
            observed_at=from_ms(now_ms),
            analysis=self.analysis.name,
            reason=late.reason,
            created_at=from_ms(late.event_ms),
            window_start=from_ms(late.start_ms),
            watermark=None if late.watermark_ms is None else from_ms(late.watermark_ms),
        )
        return NewRecord(LATE, late.key, encode(record))

    def _window_records(self, closed: Closed, now_ms: int) -> list[NewRecord]:
        aggregate, topic = self.analysis.aggregate, self.analysis.topic
        assert aggregate is not None  # noqa: S101 - as in apply
        window = window_of(closed.start_ms, closed.end_ms)
        try:
            results = each(aggregate.result(window, closed.values))
            self.shown.extend(results)
            if topic is None:
                return []
            return [to_record(topic, item, None, b"", window.key) for item in results]
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            letter = DeadLetter(
                topic=topic or self.analysis.name,
                partition=-1,
                offset=closed.start_ms,
                key=window.key,
                stage=self._stage,
                reasons=(f"window {window.key}: {explain(error)}",),
                time=datetime.fromtimestamp(now_ms / 1000, UTC),
                raw=encode(closed.values),
            )
            return [NewRecord(DEAD_LETTERS, letter.origin, letter.raw, dead_letter_headers(letter))]
