"""Runs stages, each in a thread of its own, until they are told to stop."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self

import attrs
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from mastostream.exceptions import MastostreamError, RetriableError
from mastostream.ports.clock import Clock
from mastostream.ports.stage import Stage, StageHealth

__all__ = ["Runner", "run", "run_until_idle"]

STEP_S: Final = 0.2
"""How long a stage waits for work before it looks whether it should stop."""

DRAIN_S: Final = 3.0
"""How long a stage may go on with what is left when it is told to stop."""

_RATE_SPAN_S: Final = 10.0
_logger = logging.getLogger(__name__)


@attrs.define
class _Watched:
    """A stage, its thread, and what is known of it."""

    stage: Stage
    state: Literal["starting", "running", "retrying", "failed", "stopped"] = "starting"
    processed: int = 0
    error: str | None = None
    cause: BaseException | None = None
    recent: deque[tuple[float, int]] = attrs.field(factory=lambda: deque(maxlen=400))
    thread: threading.Thread | None = None
    stop: threading.Event = attrs.field(factory=threading.Event)


class Runner:
    """Starts stages, watches them, and ends them cleanly.

    A RetriableError is retried for ever, with full jitter up to 30 s. Any other error ends its
    stage only: the others go on, and :meth:`failure` says whether one failed. The first stage
    feeds the others: once it has ended, nothing more is to come.
    """

    def __init__(self, stages: Sequence[Stage], *, clock: Clock) -> None:
        self.stop = threading.Event()
        self._clock = clock
        self._watched = [_Watched(stage) for stage in stages]

    def __enter__(self) -> Self:
        for watched in self._watched:
            watched.thread = threading.Thread(
                target=self._run, args=(watched,), name=watched.stage.name, daemon=True
            )
            watched.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # One after another, from the source on: each stage still gets what the one before it left.
        self.stop.set()
        for watched in self._watched:
            watched.stop.set()
            if watched.thread is not None:
                watched.thread.join()

    def health(self) -> tuple[StageHealth, ...]:
        """How each stage fares now."""
        return tuple(self._health(watched) for watched in self._watched)

    def alive(self) -> bool:
        """Whether the first stage, which feeds the others, still works."""
        return self._watched[0].state not in ("failed", "stopped")

    def wait(self, seconds: float) -> bool:
        """Wait; return ``False`` when the runner was told to stop or the first stage has ended."""
        return not self.stop.wait(seconds) and self.alive()

    def failure(self) -> BaseException | None:
        """Return what ended the first stage that failed, if one did."""
        return next((watched.cause for watched in self._watched if watched.cause), None)

    def _run(self, watched: _Watched) -> None:
        stage = watched.stage
        try:
            while not watched.stop.is_set():
                self._step(watched, STEP_S)
            drained_by_s = self._clock.monotonic_s() + DRAIN_S
            while self._step(watched, 0.0) and self._clock.monotonic_s() < drained_by_s:
                pass
            stage.finish()
            watched.state = "stopped"
        except Exception as error:
            if watched.stop.is_set() and isinstance(error, RetriableError):
                watched.state = "stopped"
            else:
                watched.state, watched.cause = "failed", error
                if not isinstance(error, MastostreamError):
                    _logger.exception("stage %s ended by an unexpected error", stage.name)
            watched.error = str(error) or type(error).__name__
        finally:
            stage.close()

    def _step(self, watched: _Watched, timeout_s: float) -> int:
        def note(attempt: RetryCallState) -> None:
            watched.state = "retrying"
            watched.error = str(attempt.outcome.exception()) if attempt.outcome else None
            _logger.warning("stage %s: %s; trying again", watched.stage.name, watched.error)

        retrying = Retrying(
            retry=retry_if_exception_type(RetriableError),
            wait=wait_random_exponential(multiplier=0.2, max=30),
            stop=stop_when_event_set(watched.stop),
            sleep=sleep_using_event(watched.stop),
            before_sleep=note,
            reraise=True,
        )
        done: int = retrying(watched.stage.step, timeout_s)
        watched.state, watched.error = "running", None
        if done:
            watched.processed += done
            watched.recent.append((self._clock.monotonic_s(), done))
        return done

    def _health(self, watched: _Watched) -> StageHealth:
        since = self._clock.monotonic_s() - _RATE_SPAN_S
        recent = sum(count for at, count in tuple(watched.recent) if at >= since)
        return StageHealth(
            name=watched.stage.name,
            state=watched.state,
            processed=watched.processed,
            rate_per_s=recent / _RATE_SPAN_S,
            error=watched.error,
        )


def run(
    stages: Sequence[Stage],
    *,
    clock: Clock,
    seconds: float | None = None,
    every_s: float = 5.0,
    tell: Callable[[str], object] = print,
) -> None:
    """Run stages until Ctrl-C, or until the first has ended; a program in one call.

    Args:
        stages: from the source on.
        clock: of rates and waits.
        seconds: end by itself after so many.
        every_s: how often it tells what was done, seconds.
        tell: takes a line: the state of each stage, what it has done, and what holds it up.

    Raises:
        MastostreamError: what ended a stage.
    """
    now_s = time.monotonic()
    ends_s, told_s = now_s + (math.inf if seconds is None else seconds), now_s
    with Runner(stages, clock=clock) as runner, suppress(KeyboardInterrupt):
        while (now_s := time.monotonic()) < ends_s and runner.wait(min(0.2, ends_s - now_s)):
            if now_s - told_s >= every_s:
                told_s = now_s
                tell("   ".join(map(_line, runner.health())))
    tell("   ".join(map(_line, runner.health())))
    failure = runner.failure()
    if failure is not None:
        raise failure


def _line(health: StageHealth) -> str:
    told = f"{health.name} {health.state}, {health.processed} records"
    return f"{told} ({health.error})" if health.error else told


def run_until_idle(stages: Sequence[Stage]) -> dict[str, int]:
    """Run stages in turn, in this thread, until none finds work; return what each has done.

    Raises:
        RetriableError, FatalError: from the first stage that cannot go on now.
    """
    done = dict.fromkeys((stage.name for stage in stages), 0)
    try:
        busy = True
        while busy:
            busy = False
            for stage in stages:
                count = stage.step(0.0)
                done[stage.name] += count
                busy = busy or count > 0
        for stage in stages:
            stage.finish()
    finally:
        for stage in stages:
            stage.close()
    return done
