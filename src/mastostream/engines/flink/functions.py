"""The functions of the built-in job, as Flink's Python workers call them."""

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

__all__ = ["Analyze", "Arrive", "RunWindows", "Unpack", "message_names"]

_TICK_MS: Final = 1_000
_END_MS: Final = 2**63 - 1
"""Flink's watermark when an input has come to its end."""

_EPOCH: Final = pd.Timestamp(0, tz="UTC")
_MILLISECOND: Final = pd.Timedelta(milliseconds=1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Analyze(ScalarFunction):  # type: ignore[misc]  # PyFlink has no types
    """From columns of records to columns of results; see :mod:`batches`."""

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


class Unpack(TableFunction):  # type: ignore[misc]  # as above
    """From packed records to rows of topic, key, value, headers."""

    def eval(self, rest: bytes) -> Iterator[Row]:
        for record in unpacked(rest):
            yield Row(*record)


def message_names(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Return what :class:`Arrive` gives of a batch: ``m0, m1 ...``, one for each analysis."""
    return tuple(f"m{number}" for number in range(len(analyses)))


class Arrive(ScalarFunction):  # type: ignore[misc]  # as above
    """From columns of records to a message for each analysis, in the first row of the batch."""

    def __init__(self, analyses: Sequence[Analysis], topic: str, *, tells_rejected: bool) -> None:
        self._analyses = tuple(analyses)
        self._topic = topic
        self._tells_rejected = tells_rejected
        self._arrivals: WindowMessages | None = None

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - Flink's
        self._arrivals = WindowMessages(
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
        assert self._arrivals is not None  # noqa: S101 - Flink opens it first
        messages = self._arrivals.messages(
            values, partitions, offsets, keys, (times - _EPOCH) // _MILLISECOND
        )
        others = [None] * (len(values) - 1)
        return pd.DataFrame(
            {
                name: pd.Series([message, *others], dtype=object)
                for name, message in zip(message_names(self._analyses), messages, strict=True)
            }
        )


class RunWindows(KeyedProcessFunction):  # type: ignore[misc]  # as above
    """From messages, keyed by the name of an analysis, to rows of topic, key, value, headers.

    Each analysis is one key, and so runs in one subtask: the windows' watermark is that of all
    partitions together, and a window's result is made of all its values, in their order.
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
        return self._kept(host, host.take(value[1], timers.current_watermark(), _now_ms()))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Row]:
        timers = ctx.timer_service()
        host = self._host(ctx.get_current_key())
        if timestamp == _END_MS:
            return self._kept(host, host.end(_now_ms()))
        if ctx.time_domain() is TimeDomain.PROCESSING_TIME:
            timers.register_processing_time_timer(_next_tick())
        return self._kept(host, host.look(timers.current_watermark(), _now_ms()))

    def _host(self, name: str) -> WindowOperator:
        """Return the host of the current key: from Flink's state where it is not here yet."""
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

    def _kept(self, host: WindowOperator, records: Sequence[NewRecord]) -> list[Row]:
        """Write what has changed into Flink's state, and return the records as rows."""
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
    """Whole seconds: a timer that is set twice is one."""
    return (_now_ms() // _TICK_MS + 1) * _TICK_MS
