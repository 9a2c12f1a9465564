"""Running stages: what ends them, and what is told meanwhile."""

import signal
import threading
import time

import pytest

from mastostream.exceptions import FatalError, RetriableError
from mastostream.ports.clock import SystemClock
from mastostream.runner import run


class Counting:
    """A stage that does what it is told with each step."""

    name = "count"

    def __init__(self, *outcomes: int | Exception) -> None:
        self.outcomes = list(outcomes)
        self.finished = self.closed = 0

    def step(self, timeout_s: float) -> int:
        if not self.outcomes:
            time.sleep(min(timeout_s, 0.01))
            return 0
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def finish(self) -> None:
        self.finished += 1

    def close(self) -> None:
        self.closed += 1


def test_it_ends_by_itself_and_says_what_was_done() -> None:
    stage, told = Counting(3, 4), list[str]()
    run([stage], clock=SystemClock(), seconds=0.3, tell=told.append)
    assert told == ["count stopped, 7 records"]
    assert (stage.finished, stage.closed) == (1, 1)


def test_it_tells_now_and_then_what_holds_it_up() -> None:
    stage, told = Counting(3, *[RetriableError("away")] * 50), list[str]()
    run([stage], clock=SystemClock(), seconds=0.8, every_s=0.05, tell=told.append)
    assert "count retrying, 3 records (away)" in told
    assert stage.closed == 1


def test_ctrl_c_ends_it_cleanly() -> None:
    stage, told = Counting(5), list[str]()
    main = threading.main_thread().ident
    assert main is not None

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background: ignored
    try:
        run([stage], clock=SystemClock(), every_s=0.0, tell=tell)
    finally:
        signal.signal(signal.SIGINT, before)
    assert told[-1] == "count stopped, 5 records"
    assert (stage.finished, stage.closed) == (1, 1)


def test_what_ended_the_first_stage_is_raised() -> None:
    fatal, other = Counting(1, FatalError("the disk is gone")), Counting()
    told = list[str]()
    with pytest.raises(FatalError, match="the disk is gone"):
        run([fatal, other], clock=SystemClock(), tell=told.append)
    assert told[-1].startswith("count failed, 1 records (the disk is gone)")
    assert (other.finished, other.closed) == (1, 1)
