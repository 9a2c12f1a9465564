"""The functions of the built-in job that Flink's Python workers call."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pandas as pd
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, TimeDomain
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor
from pyflink.table.udf import FunctionContext, ScalarFunction, TableFunction

from mastostream.core.analyses import Analysis
from mastostream.engines.flink.batches import Batches, column_names, unpacked
from mastostream.engines.flink.window_messages import WindowMessages
from mastostream.engines.flink.window_operator import Stored, WindowOperator
from mastostream.engines.window_outputs import spec_of
from mastostream.ports.log import NewRecord

__all__ = ["Analyze", "MakeWindowMessages", "RunWindows", "Unpack", "message_names"]

_TICK_MS: Final = 1_000
"""How often the wall clock may close windows."""

_END_MS: Final = 2**63 - 1
"""Flink's watermark when the input has ended: the largest 64-bit integer."""

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
        names = column_names(self._analyses)
        return pd.DataFrame(
            {
                name: pd.Series(column, dtype=object)
                for name, column in zip(names, columns, strict=True)
            }
        )


class Unpack(TableFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns packed records into rows of topic, key, value and headers."""

    def eval(self, rest: bytes) -> Iterator[Row]:
        for record in unpacked(rest):
            yield Row(*record)


def message_names(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Return the names of the columns of :class:`MakeWindowMessages`: ``m0, m1 ...``.

    There is one column for each analysis.
    """
    return tuple(f"m{number}" for number in range(len(analyses)))


class MakeWindowMessages(ScalarFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns columns of records into a message for each analysis, in the first row of the batch."""

    def __init__(self, analyses: Sequence[Analysis], topic: str, *, tells_rejected: bool) -> None:
        self._analyses = tuple(analyses)
        self._topic = topic
        self._tells_rejected = tells_rejected
        self._messages: WindowMessages | None = None

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - Flink's
        self._messages = WindowMessages(
            self._analyses, self._topic, _now_ms, tells_rejected=self._tells_rejected
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
        messages = self._messages.messages(
            values, partitions, offsets, keys, (times - _EPOCH) // _MILLISECOND
        )
        others = [None] * (len(values) - 1)
        return pd.DataFrame(
            {
                name: pd.Series([message, *others], dtype=object)
                for name, message in zip(message_names(self._analyses), messages, strict=True)
            }
        )


class RunWindows(KeyedProcessFunction):  # type: ignore[misc]  # PyFlink has no types
    """Turns messages, keyed by the name of an analysis, into rows of topic, key, value and headers.

    All windows of an analysis are in one subtask, as its name is the only key. So the watermark of
    the windows counts all partitions, and a window's result has all its values, in their order.
    """

    def __init__(
        self, analyses: Sequence[Analysis], *, delay_ms: int, idle_timeout_ms: int
    ) -> None:
        self._analyses = {analysis.name: analysis for analysis in analyses}
        self._delay_ms = delay_ms
        self._idle_timeout_ms = idle_timeout_ms
        self._hosts: dict[str, WindowOperator] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        data = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self._clock = runtime_context.get_state(ValueStateDescriptor("clock", data))
        self._posts = runtime_context.get_map_state(
            MapStateDescriptor("posts", Types.STRING(), data)
        )
        self._batches = runtime_context.get_map_state(
            MapStateDescriptor("batches", Types.LONG(), data)
        )

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterable[Row]:
        name, timers = ctx.get_current_key(), ctx.timer_service()
        if name not in self._hosts:
            timers.register_event_time_timer(_END_MS)
            timers.register_processing_time_timer(_next_tick())
        host = self._host(name)
        return self._save(host, host.take(value[1], timers.current_watermark(), _now_ms()))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Row]:
        timers = ctx.timer_service()
        host = self._host(ctx.get_current_key())
        if timestamp == _END_MS:
            return self._save(host, host.end(_now_ms()))
        if ctx.time_domain() is TimeDomain.PROCESSING_TIME:
            timers.register_processing_time_timer(_next_tick())
        return self._save(host, host.tick(timers.current_watermark(), _now_ms()))

    def _host(self, name: str) -> WindowOperator:
        """Return the operator of the current key. The first call restores it from Flink's state."""
        if name not in self._hosts:
            analysis = self._analyses[name]
            spec = spec_of(analysis, delay_ms=self._delay_ms, idle_timeout_ms=self._idle_timeout_ms)
            stored = Stored(
                clock=self._clock.value(),
                posts=dict(self._posts.items()),
                batches=dict(self._batches.items()),
            )
            self._hosts[name] = WindowOperator(analysis, spec, stored, _now_ms())
        return self._hosts[name]

    def _save(self, host: WindowOperator, records: Sequence[NewRecord]) -> list[Row]:
        """Write the changes into Flink's state, and return the records as rows."""
        changes = host.changes()
        if changes.clock is not None:
            self._clock.update(changes.clock)
        for state, changed in ((self._posts, changes.posts), (self._batches, changes.batches)):
            for name, data in changed.items():
                if data is None:
                    state.remove(name)
                else:
                    state.put(name, data)
        return [Row(topic, key, value, dict(headers)) for topic, key, value, headers in records]


def _next_tick() -> int:
    """The next whole second, in milliseconds since the epoch.

    Flink keeps timers of one time as one timer.
    """
    return (_now_ms() // _TICK_MS + 1) * _TICK_MS
