"""The functions of the built-in job that Flink's Python workers call."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pandas as pd
from pyflink.common import Row, Time, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import (
    MapStateDescriptor,
    StateDescriptor,
    StateTtlConfig,
    ValueStateDescriptor,
)
from pyflink.table.udf import FunctionContext, ScalarFunction, TableFunction

from mastostream.core.analyses import Analysis
from mastostream.engines.flink.batches import Batches, column_names, unpacked
from mastostream.engines.flink.window_messages import WindowMessages
from mastostream.engines.flink.window_steps import (
    KnownPosts,
    KnownWindows,
    beat,
    check_beat,
    keep_ms,
)
from mastostream.engines.local.windowed_analysis import WindowTiming

__all__ = ["REST_NAME", "Analyze", "KeepPosts", "KeepWindows", "MakeWindowMessages", "Unpack"]

REST_NAME: Final = "*"
"""In the place of an analysis' name: a message of packed records. No analysis has this name."""

_HEARTBEAT: Final = "heartbeat"
"""In the place of a window's key: a message that starts the heartbeat of the job."""

_BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())
_EPOCH: Final = pd.Timestamp(0, tz="UTC")
_MILLISECOND: Final = pd.Timedelta(milliseconds=1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Analyze(ScalarFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns columns of records into columns of results; see :mod:`batches`."""

    def __init__(self, analyses: Sequence[Analysis], topic: str, *, raises: bool) -> None:
        self._analyses = tuple(analyses)
        self._topic = topic
        self._raises = raises
        self._batches: Batches | None = None

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - Flink's
        self._batches = Batches(self._analyses, self._topic, _now_ms, raises=self._raises)

    def eval(
        self,
        values: "pd.Series[Any]",
        partitions: "pd.Series[Any]",
        offsets: "pd.Series[Any]",
        keys: "pd.Series[Any]",
    ) -> pd.DataFrame:
        assert self._batches is not None  # noqa: S101 - Flink opens it first
        columns = self._batches.columns(values, partitions, offsets, keys)
        return _frame(self._analyses, columns)


class Unpack(TableFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns packed records into rows of topic, key, value and headers."""

    def eval(self, rest: bytes) -> Iterator[Row]:
        for record in unpacked(rest):
            yield Row(*record)


class MakeWindowMessages(ScalarFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns columns of records into columns of messages; see :mod:`window_messages`."""

    def __init__(
        self, analyses: Sequence[Analysis], topic: str, *, horizon_ms: int, tells_rejected: bool
    ) -> None:
        self._analyses = tuple(analyses)
        self._topic = topic
        self._horizon_ms = horizon_ms
        self._tells_rejected = tells_rejected
        self._messages: WindowMessages | None = None

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - Flink's
        self._messages = WindowMessages(
            self._analyses,
            self._topic,
            _now_ms,
            horizon_ms=self._horizon_ms,
            tells_rejected=self._tells_rejected,
        )

    def eval(
        self,
        values: "pd.Series[Any]",
        partitions: "pd.Series[Any]",
        offsets: "pd.Series[Any]",
        keys: "pd.Series[Any]",
        times: "pd.Series[Any]",
    ) -> pd.DataFrame:
        assert self._messages is not None  # noqa: S101 - Flink opens it first
        columns = self._messages.columns(
            values, partitions, offsets, keys, (times - _EPOCH) // _MILLISECOND
        )
        return _frame(self._analyses, columns)


class KeepPosts(KeyedProcessFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns messages about posts into changes of windows. It is keyed by analysis and post.

    Rows have the name of an analysis, the key of a post and a message; what comes out has the key
    of a window, the key of a post and its entry. Packed records pass through.
    """

    def __init__(self, analyses: Sequence[Analysis], horizon_ms: int) -> None:
        self._analyses = tuple(analyses)
        self._horizon_ms = horizon_ms
        self._starts = True

    def open(self, runtime_context: RuntimeContext) -> None:
        descriptor = ValueStateDescriptor("post", _BYTES)
        _forget_after(descriptor, keep_ms(self._analyses, self._horizon_ms))
        state = runtime_context.get_state(descriptor)
        self._posts = KnownPosts(self._analyses, self._horizon_ms, state)

    def process_element(
        self,
        value: Row,
        ctx: KeyedProcessFunction.Context,  # noqa: ARG002 - Flink's
    ) -> Iterable[Row]:
        rows = [Row(_HEARTBEAT, "", b"")] if self._starts else []
        self._starts = False
        analysis, post, message = value
        if analysis == REST_NAME:
            # Not the row itself, which has the names of other columns.
            rows.append(Row(analysis, post, message))
        else:
            rows += [Row(*change) for change in self._posts.take(analysis, post, message)]
        return rows


class KeepWindows(KeyedProcessFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns changes of windows into rows of topic, key, value and headers.

    It is keyed by the key of a window, which names an analysis and the window's start.
    """

    def __init__(self, analyses: Sequence[Analysis], horizon_ms: int, timing: WindowTiming) -> None:
        self._analyses = tuple(analyses)
        self._horizon_ms = horizon_ms
        self._timing = timing

    def open(self, runtime_context: RuntimeContext) -> None:
        entries = MapStateDescriptor("entries", Types.STRING(), _BYTES)
        schedule = ValueStateDescriptor("schedule", _BYTES)
        for descriptor in (entries, schedule):
            _forget_after(descriptor, keep_ms(self._analyses, self._horizon_ms))
        self._windows = KnownWindows(
            self._analyses,
            self._horizon_ms,
            self._timing,
            runtime_context.get_map_state(entries),
            runtime_context.get_state(schedule),
        )

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterable[Row]:
        window, post, data = value
        if window == REST_NAME:
            return [Row(*record) for record in unpacked(data)]
        if window != _HEARTBEAT:
            self._windows.take(window, post, data, ctx.timer_service(), _now_ms())
        elif not self._timing.at_end:
            beat(ctx.timer_service(), _now_ms())
        return ()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Row]:
        window, timers, now_ms = ctx.get_current_key(), ctx.timer_service(), _now_ms()
        if window == _HEARTBEAT:
            check_beat(timestamp, now_ms)
            beat(timers, now_ms)
            return ()
        records = self._windows.fire(window, timestamp, timers, now_ms)
        return [Row(topic, key, value, dict(headers)) for topic, key, value, headers in records]


def _frame(analyses: Sequence[Analysis], columns: Sequence[Sequence[object]]) -> pd.DataFrame:
    """Return the columns that :func:`batches.column_names` names as a table."""
    return pd.DataFrame(
        {
            name: pd.Series(column, dtype=object)
            for name, column in zip(column_names(analyses), columns, strict=True)
        }
    )


def _forget_after(descriptor: StateDescriptor, time_ms: int) -> None:
    """Let Flink forget state of this kind when it has not changed for so long.

    State that has expired is seen until Flink removes it: without that, PyFlink would write each
    change at once, one at a time.
    """
    builder = StateTtlConfig.new_builder(Time.milliseconds(time_ms))
    descriptor.enable_time_to_live(builder.return_expired_if_not_cleaned_up().build())
