"""Connects windowed analyses to the log: posts become arrivals, and window events become records.

The state machine of :mod:`core.windows` works between the two. Each engine keeps its state, and
decides when it gets arrivals and ticks.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

from mastostream.core.analyses import Analysis
from mastostream.core.codec import encode
from mastostream.core.dead_letters import DeadLetter, dead_letter_headers
from mastostream.core.models import Post
from mastostream.core.time import from_ms, to_ms
from mastostream.core.topic_names import DEAD_LETTERS, LATE
from mastostream.core.window_records import LateRecord, window_of
from mastostream.core.windows import Arrival, Closed, Late, Tick, WindowSpec, WindowState, advance
from mastostream.engines.outputs import as_sequence, dead_letter, explain, to_record
from mastostream.engines.per_post import Decoded
from mastostream.ports.log import NewRecord, Record

__all__ = ["WindowOutputs", "arrivals_of", "records_of", "spec_of", "tick"]


@attrs.frozen(kw_only=True)
class WindowOutputs:
    """What window events give: records for the log, and counts.

    Attributes:
        records: results, late records and dead letters, encoded for the log.
        shown: the results before they were encoded.
        late: the number of late posts.
        closed: the number of windows that have closed.
    """

    records: list[NewRecord]
    shown: list[object]
    late: int
    closed: int


def spec_of(analysis: Analysis, *, delay_ms: int, idle_timeout_ms: int) -> WindowSpec:
    """Return the rules of the windows of an analysis.

    Args:
        analysis: an analysis with an aggregate, which sets the size of the windows.
        delay_ms: how long windows wait for posts out of order.
        idle_timeout_ms: how long a quiet partition may hold windows open.
    """
    assert analysis.aggregate is not None  # noqa: S101 - the engines sort analyses by their kind
    return WindowSpec(
        size_ms=analysis.aggregate.size_s * 1000,
        delay_ms=delay_ms,
        idle_timeout_ms=idle_timeout_ms,
    )


def arrivals_of(
    analysis: Analysis, batch: Iterable[Decoded], now_ms: int
) -> tuple[list[tuple[Record, Arrival]], list[NewRecord]]:
    """Return the arrivals of these posts for the windows, each with its record, and dead letters.

    A post becomes a dead letter where the aggregate's ``value`` fails for it. Records that are no
    posts are left out.
    """
    aggregate = analysis.aggregate
    assert aggregate is not None  # noqa: S101 - the engines sort analyses by their kind
    arrivals: list[tuple[Record, Arrival]] = []
    letters: list[NewRecord] = []
    for record, item in batch:
        if type(item) is not Post:
            continue
        try:
            value = aggregate.value(item)
            encode(value)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            letters.append(dead_letter(record, _stage(analysis), (explain(error),), now_ms))
            continue
        arrival = Arrival(
            partition=record.partition,
            key=item.key,
            event_ms=to_ms(item.created_at),
            arrived_ms=record.timestamp_ms,
            first=item.event == "new",
            value=value,
        )
        arrivals.append((record, arrival))
    return arrivals, letters


def tick(
    spec: WindowSpec, state: WindowState, now_ms: int
) -> tuple[WindowState, tuple[Closed | Late, ...]]:
    """Let the wall clock close windows. Call it only when all records have been read."""
    if not state.windows:
        return state, ()
    return advance(spec, state, (Tick(now_ms=now_ms),))


def records_of(analysis: Analysis, events: Iterable[Closed | Late], now_ms: int) -> WindowOutputs:
    """Return the records of windows that have closed, and of late posts.

    Where the aggregate's ``result`` fails, its window becomes one dead letter, whose offset is the
    start of the window in milliseconds since the epoch.
    """
    records: list[NewRecord] = []
    shown: list[object] = []
    late = closed = 0
    for event in events:
        if isinstance(event, Late):
            late += 1
            records.append(_late_record(analysis, event, now_ms))
        else:
            closed += 1
            records.extend(_window_records(analysis, event, shown, now_ms))
    return WindowOutputs(records=records, shown=shown, late=late, closed=closed)


def _stage(analysis: Analysis) -> str:
    return f"analyze:{analysis.name}"


def _late_record(analysis: Analysis, late: Late, now_ms: int) -> NewRecord:
    watermark_ms = late.watermark_ms
    record = LateRecord(
        key=late.key,
        observed_at=from_ms(now_ms),
        analysis=analysis.name,
        reason=late.reason,
        created_at=from_ms(late.event_ms),
        window_start=from_ms(late.start_ms),
        watermark=None if watermark_ms is None else from_ms(watermark_ms - watermark_ms % 1_000),
    )
    return NewRecord(LATE, late.key, encode(record))


def _window_records(
    analysis: Analysis, closed: Closed, shown: list[object], now_ms: int
) -> list[NewRecord]:
    aggregate, topic = analysis.aggregate, analysis.topic
    assert aggregate is not None  # noqa: S101 - the engines sort analyses by their kind
    window = window_of(closed.start_ms, closed.end_ms)
    try:
        results = as_sequence(aggregate.result(window, closed.values))
        shown.extend(results)
        if topic is None:
            return []
        return [to_record(topic, item, None, b"", window.key) for item in results]
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        letter = DeadLetter(
            topic=topic or analysis.name,
            partition=-1,
            offset=closed.start_ms,
            key=window.key,
            stage=_stage(analysis),
            reasons=(f"window {window.key}: {explain(error)}",),
            time=datetime.fromtimestamp(now_ms / 1000, UTC),
            raw=encode(closed.values),
        )
        return [NewRecord(DEAD_LETTERS, letter.origin, letter.raw, dead_letter_headers(letter))]
