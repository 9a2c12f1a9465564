"""Faults on demand: for the next responses, or for a period."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, get_args

import attrs

from mastostream.testing.simulator.fault_plan import FaultKind, FaultPlan

__all__ = ["FAULT_OF_KIND", "Fault", "Faults"]

_SLOW_S: Final = 15.0


@attrs.frozen(kw_only=True)
class Fault:
    """The fault of one response.

    Attributes:
        status: HTTP status of an error response; ``None`` keeps the normal response.
        headers: headers that are added to the response.
        limit_headers: whether rate limit headers say that no request is left, and until when.
        delay_s: delay of the response, in seconds of the server's clock.
        cut: whether the connection is closed after half of the body.
        truncated: whether half of the body is sent as if it were complete.
        empty: whether the body is an empty list, as from a closed feed.
    """

    status: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    limit_headers: bool = False
    delay_s: float = 0.0
    cut: bool = False
    truncated: bool = False
    empty: bool = False


FAULT_OF_KIND: Final[Mapping[FaultKind, Fault]] = {
    "rate_limited": Fault(status=429, limit_headers=True),
    "rate_limited_bare": Fault(status=429),
    "server_error": Fault(status=503),
    "slow": Fault(delay_s=_SLOW_S),
    "cut": Fault(cut=True),
    "truncated": Fault(truncated=True),
    "closed_feed": Fault(empty=True),
    "no_lookup": Fault(status=404),
}
"""The kinds that concern single responses. All others concern streams or the whole server."""


class Faults:
    """The faults of one server. Thread-safe.

    ``add`` queues a fault for the next responses, one each. ``begin`` and ``end`` start and stop a
    fault for everything in between. A plan starts and stops faults by itself.
    """

    def __init__(
        self, plan: FaultPlan | None = None, now_ms: Callable[[], int] = lambda: 0
    ) -> None:
        """Start with the faults of the plan only, at the times of this clock."""
        self._lock = threading.Lock()
        self._next: deque[Fault] = deque()
        self._started: dict[FaultKind, float] = {}
        self._plan = plan
        self._now_ms = now_ms
        self._listeners: list[Callable[[], None]] = []

    def add(self, fault: Fault | FaultKind, times: int = 1) -> None:
        """Queue a fault for the next ``times`` requests of the REST API.

        Raises:
            ValueError: a fault of this name does not concern single responses; use ``begin``.
        """
        if not isinstance(fault, Fault):
            if fault not in FAULT_OF_KIND:
                raise ValueError(f"{fault!r} is none of {', '.join(FAULT_OF_KIND)}: begin() it")
            fault = FAULT_OF_KIND[fault]
        with self._lock:
            self._next.extend([fault] * times)

    def take(self) -> Fault | None:
        """Return the queued fault for this request, and remove it; ``None`` where there is none."""
        with self._lock:
            return self._next.popleft() if self._next else None

    def left(self) -> int:
        """Return how many queued faults are left."""
        with self._lock:
            return len(self._next)

    def begin(self, kind: FaultKind, *, seconds: float | None = None) -> None:
        """Start a fault. It lasts until ``end``, or this many seconds of the server's clock.

        Raises:
            ValueError: there is no fault of this kind.
        """
        if kind not in get_args(FaultKind):
            raise ValueError(f"{kind!r} is none of {', '.join(get_args(FaultKind))}")
        until_ms = float("inf") if seconds is None else self._now_ms() + seconds * 1000
        with self._lock:
            self._started[kind] = until_ms
        self._notify()

    def end(self, kind: FaultKind) -> None:
        """Stop a fault that ``begin`` has started. Faults of the plan continue."""
        with self._lock:
            self._started.pop(kind, None)
        self._notify()

    @contextmanager
    def during(self, kind: FaultKind) -> Iterator[None]:
        """Start a fault, and stop it at the end of the ``with`` block."""
        self.begin(kind)
        try:
            yield
        finally:
            self.end(kind)

    def active(self, now_ms: int) -> frozenset[FaultKind]:
        """Return the faults that are active at this time, apart from queued ones."""
        with self._lock:
            kinds = {kind for kind, until_ms in self._started.items() if now_ms < until_ms}
        if self._plan is not None and (planned := self._plan.active(now_ms)) is not None:
            kinds.add(planned)
        return frozenset(kinds)

    def next_change_ms(self, now_ms: int) -> float:
        """Return the next time at which a fault starts or ends; infinity for never."""
        with self._lock:
            changes_ms = [until_ms for until_ms in self._started.values() if until_ms > now_ms]
        if self._plan is not None:
            changes_ms.append(self._plan.next_change_ms(now_ms))
        return min(changes_ms, default=float("inf"))

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever ``begin`` or ``end`` is called."""
        self._listeners.append(listener)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()
