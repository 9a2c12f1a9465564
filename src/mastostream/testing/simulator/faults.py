"""Faults on demand."""

import threading
from collections import deque
from collections.abc import Mapping

import attrs

__all__ = ["Fault", "Faults"]


@attrs.frozen(kw_only=True)
class Fault:
    """What happens to one answer.

    Attributes:
        status: an error of this HTTP status; ``None`` leaves the answer's own.
        headers: added to the answer.
        delay_s: how long the answer takes.
        cut: send half of the body and close the connection.
        empty: an empty list, as a closed feed answers.
    """

    status: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    delay_s: float = 0.0
    cut: bool = False
    empty: bool = False


class Faults:
    """A queue of faults: each API request takes the next one, if there is one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[Fault] = deque()

    def add(self, fault: Fault, times: int = 1) -> None:
        """Let this happen to the next requests."""
        with self._lock:
            self._next.extend([fault] * times)

    def take(self) -> Fault | None:
        """Return what happens to this request."""
        with self._lock:
            return self._next.popleft() if self._next else None

    def left(self) -> int:
        """How many are still to come."""
        with self._lock:
            return len(self._next)
