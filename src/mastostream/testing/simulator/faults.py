"""Faults on demand: what goes wrong with the next answers, or from now on."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, get_args

import attrs

from mastostream.testing.simulator.fault_plan import FaultKind, FaultPlan

__all__ = ["OF_KIND", "Fault", "Faults"]

_SLOW_S: Final = 15.0


@attrs.frozen(kw_only=True)
class Fault:
    """What happens to one answer.

    Attributes:
        status: an error of this HTTP status; ``None`` leaves the answer's own.
        headers: added to the answer.
        limit_headers: whether an answer of status 429 says when the limit ends.
        delay_s: how long the answer takes, on the server's clock.
        cut: send half of the body and close the connection.
        truncated: send half of the body as if it were the whole.
        empty: an empty list, as a closed feed answers.
    """

    status: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    limit_headers: bool = False
    delay_s: float = 0.0
    cut: bool = False
    truncated: bool = False
    empty: bool = False


OF_KIND: Final[Mapping[FaultKind, Fault]] = {  # those of single answers
    "rate_limited": Fault(status=429, limit_headers=True),
    "rate_limited_bare": Fault(status=429),
    "server_error": Fault(status=503),
    "slow": Fault(delay_s=_SLOW_S),
    "cut": Fault(cut=True),
    "truncated": Fault(truncated=True),
    "closed_feed": Fault(empty=True),
    "no_lookup": Fault(status=404),
}


class Faults:
    """What goes wrong on one server. Thread-safe.

    ``add`` is for the next answers, one each; ``begin`` and ``end`` for all that happens between
    them; a plan makes them come by themselves.
    """

    def __init__(
        self, plan: FaultPlan | None = None, now_ms: Callable[[], int] = lambda: 0
    ) -> None:
        """Begin without any but those of the plan, at the moments of this clock."""
        self._lock = threading.Lock()
        self._next: deque[Fault] = deque()
        self._begun: dict[FaultKind, float] = {}
        self._plan = plan
        self._now_ms = now_ms
        self._listeners: list[Callable[[], None]] = []

    def add(self, fault: Fault | FaultKind, times: int = 1) -> None:
        """Let this happen to the next requests of the REST API.

        Raises:
            ValueError: a fault of this name is none of single answers: ``begin`` it.
        """
        if not isinstance(fault, Fault):
            if fault not in OF_KIND:
                raise ValueError(f"{fault!r} is none of {', '.join(OF_KIND)}: begin() it")
            fault = OF_KIND[fault]
        with self._lock:
            self._next.extend([fault] * times)

    def take(self) -> Fault | None:
        """Return what happens to this request."""
        with self._lock:
            return self._next.popleft() if self._next else None

    def left(self) -> int:
        """How many of those that were added are still to come."""
        with self._lock:
            return len(self._next)

    def begin(self, kind: FaultKind, *, seconds: float | None = None) -> None:
        """Let this happen from now on, until ``end``, or for so long on the server's clock.

        Raises:
            ValueError: there is no such fault.
        """
        if kind not in get_args(FaultKind):
            raise ValueError(f"{kind!r} is none of {', '.join(get_args(FaultKind))}")
        until_ms = float("inf") if seconds is None else self._now_ms() + seconds * 1000
        with self._lock:
            self._begun[kind] = until_ms
        self._tell()

    def end(self, kind: FaultKind) -> None:
        """Let it happen no more. Those of the plan go on."""
        with self._lock:
            self._begun.pop(kind, None)
        self._tell()

    @contextmanager
    def during(self, kind: FaultKind) -> Iterator[None]:
        """Let it happen within a ``with`` block."""
        self.begin(kind)
        try:
            yield
        finally:
            self.end(kind)

    def active(self, now_ms: int) -> frozenset[FaultKind]:
        """Return what happens at this moment."""
        with self._lock:
            found = {kind for kind, until_ms in self._begun.items() if now_ms < until_ms}
        if self._plan is not None and (planned := self._plan.active(now_ms)) is not None:
            found.add(planned)
        return frozenset(found)

    def next_change_ms(self, now_ms: int) -> float:
        """Return when something else will happen; infinity for never."""
        with self._lock:
            moments = [until_ms for until_ms in self._begun.values() if until_ms > now_ms]
        if self._plan is not None:
            moments.append(self._plan.next_change_ms(now_ms))
        return min(moments, default=float("inf"))

    def listen(self, listener: Callable[[], None]) -> None:
        """Have this called when a fault begins or ends by hand."""
        self._listeners.append(listener)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
