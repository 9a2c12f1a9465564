"""Runs the stages of a pipeline, each in its own thread, until the runner is stopped."""

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
"""How long one step of a stage may wait for records, in seconds; then the stage looks whether it
should stop."""

DRAIN_S: Final = 3.0
"""How long a stage may process the records that are left when it has to stop, in seconds."""

_RATE_SPAN_S: Final = 10.0
"""The rate of a stage is its mean over so many seconds."""

_logger = logging.getLogger(__name__)


@attrs.define
class _Worker:
    """A stage with its thread and its state.

    Attributes:
        stage: the stage.
        state: as in :class:`ports.stage.StageHealth`.
        processed: how many records the stage has processed.
        error: the text of the last error; ``None`` after a step that succeeded.
        cause: the exception that ended the stage; ``None`` if none did.
        recent: for each of the last steps, when it ended (seconds of the monotonic clock) and how
            many records it processed.
        thread: the thread that runs the stage.
        stop: set when the stage has to stop.
    """

    stage: Stage
    state: Literal["starting", "running", "retrying", "failed", "stopped"] = "starting"
    processed: int = 0
    error: str | None = None
    cause: BaseException | None = None
    recent: deque[tuple[float, int]] = attrs.field(factory=lambda: deque(maxlen=400))
    thread: threading.Thread | None = None
    stop: threading.Event = attrs.field(factory=threading.Event)


class Runner:
    """Starts stages, watches them, and ends them cleanly: a context manager.

    A RetriableError is retried for ever, with exponential backoff and full jitter up to 30 s. Any
    other error ends only its own stage: the others go on, and :meth:`failure` returns the error.
    The first stage feeds the others, so the pipeline has no more input once it has ended.

    Leaving the ``with`` block stops the stages one after another, from the first on. Each stage may
    process the records that are left for up to 3 s; then it is finished and closed.

    Attributes:
        stop: set it to end :meth:`wait`; leaving the ``with`` block sets it and ends all stages.
    """

    def __init__(self, stages: Sequence[Stage], *, clock: Clock) -> None:
        self.stop = threading.Event()
        self._clock = clock
        self._workers = [_Worker(stage) for stage in stages]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.thread = threading.Thread(
                target=self._run, args=(worker,), name=worker.stage.name, daemon=True
            )
            worker.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Stages stop one after another, from the source on, so that each stage still gets the last
        # records of the one before it.
        self.stop.set()
        for worker in self._workers:
            worker.stop.set()
            if worker.thread is not None:
                worker.thread.join()

    def health(self) -> tuple[StageHealth, ...]:
        """Return the current state of each stage, in the order of the stages."""
        return tuple(self._health(worker) for worker in self._workers)

    def alive(self) -> bool:
        """Return whether the first stage, which feeds the others, is still running."""
        return self._workers[0].state not in ("failed", "stopped")

    def wait(self, seconds: float) -> bool:
        """Wait this many real seconds, less if ``stop`` is set; return whether to go on.

        ``False`` means that ``stop`` is set or that the first stage has ended.
        """
        return not self.stop.wait(seconds) and self.alive()

    def failure(self) -> BaseException | None:
        """Return the error of the first stage that failed, in the order of the stages."""
        return next((worker.cause for worker in self._workers if worker.cause), None)

    def _run(self, worker: _Worker) -> None:
        stage = worker.stage
        try:
            while not worker.stop.is_set():
                self._step(worker, STEP_S)
            drained_by_s = self._clock.monotonic_s() + DRAIN_S
            while self._step(worker, 0.0) and self._clock.monotonic_s() < drained_by_s:
                pass
            stage.finish()
            worker.state = "stopped"
        except Exception as error:
            if worker.stop.is_set() and isinstance(error, RetriableError):
                worker.state = "stopped"
            else:
                worker.state, worker.cause = "failed", error
                if not isinstance(error, MastostreamError):
                    _logger.exception("stage %s ended by an unexpected error", stage.name)
            worker.error = str(error) or type(error).__name__
        finally:
            stage.close()

    def _step(self, worker: _Worker, timeout_s: float) -> int:
        def record_retry(attempt: RetryCallState) -> None:
            worker.state = "retrying"
            worker.error = str(attempt.outcome.exception()) if attempt.outcome else None
            _logger.warning("stage %s: %s; trying again", worker.stage.name, worker.error)

        retrying = Retrying(
            retry=retry_if_exception_type(RetriableError),
            wait=wait_random_exponential(multiplier=0.2, max=30),
            stop=stop_when_event_set(worker.stop),
            sleep=sleep_using_event(worker.stop),
            before_sleep=record_retry,
            reraise=True,
        )
        done: int = retrying(worker.stage.step, timeout_s)
        worker.state, worker.error = "running", None
        if done:
            worker.processed += done
            worker.recent.append((self._clock.monotonic_s(), done))
        return done

    def _health(self, worker: _Worker) -> StageHealth:
        since = self._clock.monotonic_s() - _RATE_SPAN_S
        recent = sum(count for at, count in tuple(worker.recent) if at >= since)
        return StageHealth(
            name=worker.stage.name,
            state=worker.state,
            processed=worker.processed,
            rate_per_s=recent / _RATE_SPAN_S,
            error=worker.error,
        )


def run(
    stages: Sequence[Stage],
    *,
    clock: Clock,
    seconds: float | None = None,
    every_s: float = 5.0,
    tell: Callable[[str], object] = print,
) -> None:
    """Run stages until Ctrl-C, until the first stage ends, or for ``seconds``: a whole program.

    Args:
        stages: the stages, in the order in which records pass through them; the source is first.
        clock: measures the rates, and how long a stage may process its last records.
        seconds: how long to run, in real seconds; ``None`` sets no limit.
        every_s: real seconds between two status lines.
        tell: called with each status line: for every stage its state, how many records it has
            processed, and its last error.

    Raises:
        MastostreamError: the error of the first stage that failed, in the order of the stages. An
            error of another kind is raised as it is.
    """
    now_s = time.monotonic()
    ends_s, reported_s = now_s + (math.inf if seconds is None else seconds), now_s
    with Runner(stages, clock=clock) as runner, suppress(KeyboardInterrupt):
        while (now_s := time.monotonic()) < ends_s and runner.wait(min(0.2, ends_s - now_s)):
            if now_s - reported_s >= every_s:
                reported_s = now_s
                tell("   ".join(map(_status_line, runner.health())))
    tell("   ".join(map(_status_line, runner.health())))
    failure = runner.failure()
    if failure is not None:
        raise failure


def _status_line(health: StageHealth) -> str:
    status = f"{health.name} {health.state}, {health.processed} records"
    return f"{status} ({health.error})" if health.error else status


def run_until_idle(stages: Sequence[Stage]) -> dict[str, int]:
    """Run stages in turn, in this thread, until no stage has records left to process.

    Returns:
        How many records each stage has processed, by the stage's name.

    Raises:
        RetriableError, FatalError: from the first stage that cannot go on now. Nothing is retried.
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
