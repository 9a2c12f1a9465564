"""Runs stages and shows their progress: a live view in a terminal, lines elsewhere, or JSON."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import msgspec
from rich.console import Group, RenderableType
from rich.live import Live

from mastostream.cli.options import Output, tell
from mastostream.config import Settings
from mastostream.core.analyses import Analysis
from mastostream.core.time import from_ms
from mastostream.dashboards.terminal import ViewState, render, window_table
from mastostream.exceptions import RetriableError
from mastostream.ports.index import Summary
from mastostream.ports.stage import Stage, StageHealth
from mastostream.runner import Runner
from mastostream.wiring import (
    counters,
    data_place,
    details,
    index_reader,
    newest_observation_ms,
    system_clock,
    troubles,
)

__all__ = ["Results", "Watch", "drive", "stopping"]

SPAN: Final = timedelta(minutes=15)
"""How far back the live view's summary of the index goes."""

INTERVAL_S: Final = 10
"""Length of the intervals whose counts the live view draws."""

_LINE_EVERY_S: Final = 5.0
_PAUSE_FACTOR: Final = 9
"""A query of the index is followed by a pause of so many times its duration."""

_SHOWN_WINDOWS: Final = 12

Health = Callable[[], Sequence[StageHealth]]
"""Returns the health of all stages that run."""


class Results:
    """Keeps the latest results of each analysis for tables, and prints all as JSON if asked to.

    A record of a window replaces an earlier record of the same window.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._latest: dict[str, dict[str, object]] = {}
        self._taken = 0

    def __call__(self, analysis: Analysis, results: Sequence[object]) -> None:
        """Take the newest results of an analysis; called by the engine's thread."""
        records = [msgspec.to_builtins(result) for result in results]
        with self._lock:
            latest = self._latest.setdefault(analysis.name, {})
            for result, record in zip(results, records, strict=True):
                self._taken += 1
                key = record.get("key") if analysis.aggregate and isinstance(record, dict) else None
                latest[key if isinstance(key, str) else f"{self._taken:020}"] = result
            for key in sorted(latest)[:-_SHOWN_WINDOWS]:
                del latest[key]
        for record in records:
            self._output.emit("result", analysis=analysis.name, record=record)

    def tables(self) -> RenderableType:
        """Return one table for each analysis."""
        with self._lock:
            tables = [
                window_table(name, [latest[key] for key in sorted(latest)])
                for name, latest in self._latest.items()
            ]
        return Group(*tables) if tables else "waiting for the first window to end ..."


@attrs.frozen(kw_only=True)
class Watch:
    """Options of a run: how long the stages run, and what is shown meanwhile.

    Attributes:
        title: says what runs, such as the servers and hashtags.
        seconds: how long the stages run, in real seconds; ``None`` sets no limit.
        metrics_port: the port that serves metrics; ``None`` for none.
        index: whether the live view shows a summary of the index.
        results: window results to show in place of the live view; ``None`` for none.
    """

    title: str
    seconds: float | None = None
    metrics_port: int | None = None
    index: bool = False
    results: Results | None = None


def drive(stages: Sequence[Stage], settings: Settings, output: Output, watch: Watch) -> None:
    """Run the stages until they are stopped, then print what was done and where the data is.

    Raises:
        MastostreamError: a stage failed.
    """
    runner = Runner(stages, clock=system_clock())

    def health() -> tuple[StageHealth, ...]:
        texts, reasons = details(stages), troubles(stages)
        return tuple(
            attrs.evolve(
                stage, detail=texts.get(stage.name, ""), trouble=reasons.get(stage.name, "")
            )
            for stage in runner.health()
        )

    began_s = time.monotonic()
    hint = f"data: {data_place(settings)}   Ctrl-C stops, the data is kept"
    with stopping(runner.stop), ExitStack() as stack:
        if watch.metrics_port is not None:
            from mastostream.dashboards.metrics import (  # noqa: PLC0415 - 0.1 s to import
                MetricsServer,
            )

            server = MetricsServer(watch.metrics_port, health, lambda: counters(stages))
            stack.enter_context(server)
            tell(output, f"metrics: {server.url}/metrics   health: {server.url}/health")
        event_time = _EventTime(stages)
        summary = _Summaries(settings, event_time) if watch.index else None
        if summary is not None:
            stack.callback(summary.close)
        stack.enter_context(runner)

        def keep_running(seconds: float) -> bool:
            late = watch.seconds is not None and time.monotonic() - began_s >= watch.seconds
            return not late and runner.wait(seconds)

        if output.live:
            _draw(health, output, watch, summary, hint, keep_running, began_s, event_time)
        else:
            _print(health, output, watch, keep_running)
    for stage in health():
        output.emit("stage", **attrs.asdict(stage))
    if not output.json:
        done = ", ".join(f"{stage.name} {stage.processed}" for stage in runner.health())
        tell(output, f"stopped after {time.monotonic() - began_s:.0f} s. Records: {done}.")
        for trouble in troubles(stages).values():
            tell(output, f"Trouble: {trouble}.")
        tell(output, f"The data is in {data_place(settings)}")
    failure = runner.failure()
    if failure is not None:
        raise failure


class _EventTime:
    """The time of the posts: that of the newest observation, which moves on in silence.

    It is the wall clock's where that is the collector's clock, and right for a simulated one, too.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages
        self._newest_ms = 0
        self._since_s = 0.0

    def now(self) -> datetime:
        """Return the time; before the first post that of the wall clock."""
        newest_ms, now_s = newest_observation_ms(self._stages), time.monotonic()
        if newest_ms > self._newest_ms:
            self._newest_ms, self._since_s = newest_ms, now_s
        if not self._newest_ms:
            return datetime.now(UTC)
        return from_ms(self._newest_ms) + timedelta(seconds=now_s - self._since_s)


class _Summaries:
    """Queries the index for the live view, with at most a tenth of the time spent in queries."""

    def __init__(self, settings: Settings, event_time: _EventTime) -> None:
        self._reader = index_reader(settings)
        self._event_time = event_time
        self._latest: Summary | None = None
        self._next_s = 0.0

    def now(self) -> Summary | None:
        """Return the latest summary; ``None`` if the last query did not reach the index.

        No query is sent during the pause after the last one.
        """
        began_s = time.monotonic()
        if began_s < self._next_s:
            return self._latest
        until = self._event_time.now()
        try:
            self._latest = self._reader.summary(until - SPAN, until, INTERVAL_S, 12)
        except RetriableError:
            self._latest = None
        now_s = time.monotonic()
        self._next_s = now_s + _PAUSE_FACTOR * (now_s - began_s)
        return self._latest

    def close(self) -> None:
        self._reader.close()


def _draw(
    health: Health,
    output: Output,
    watch: Watch,
    summary: _Summaries | None,
    hint: str,
    keep_running: Callable[[float], bool],
    began_s: float,
    event_time: _EventTime,
) -> None:
    def picture() -> RenderableType:
        if watch.results is not None:
            return watch.results.tables()
        state = ViewState(
            title=watch.title,
            hint=hint,
            now=event_time.now(),
            elapsed_s=time.monotonic() - began_s,
            summary=summary.now() if summary is not None else None,
            stages=health(),
            interval_s=INTERVAL_S,
        )
        return render(state, output.console.width, output.console.height)

    with Live(picture(), console=output.console, screen=True, auto_refresh=False) as live:
        while keep_running(0.5):
            live.update(picture(), refresh=True)
    if watch.results is not None:
        output.console.print(watch.results.tables())


def _print(
    health: Health, output: Output, watch: Watch, keep_running: Callable[[float], bool]
) -> None:
    tell(output, watch.title)
    next_s = time.monotonic() + _LINE_EVERY_S
    while keep_running(0.1):
        if time.monotonic() >= next_s:
            next_s += _LINE_EVERY_S
            for stage in health():
                output.emit("health", **attrs.asdict(stage))
            if not output.json:
                tell(output, "  ".join(map(_line, health())))
    if watch.results is not None and not output.json:
        output.console.print(watch.results.tables())


def _line(stage: StageHealth) -> str:
    remark = stage.error or stage.detail
    note = f" [{remark}]" if remark else ""
    return f"{stage.name}: {stage.state} {stage.processed}{note}"


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM set ``stop``, so that stages end cleanly."""

    def handle(*_: Any) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
