"""Errors that the next calls of a fake raise."""

import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mastostream.exceptions import RetriableError

__all__ = ["Failures", "Killed"]


class Killed(BaseException):
    """The process ends here, as by ``kill -9``; no ``except Exception`` catches it."""


class _Failure(NamedTuple):
    error: BaseException | None
    after: bool


class Failures:
    """Errors that wait for the calls of a fake: each is raised once, the first one first.

    Attributes:
        share: how many of all calls fail by chance with a RetriableError, before they have done
            anything: 0 for none, 1 for all. The same seed gives the same failures.
    """

    def __init__(self, *calls: str, seed: int = 1) -> None:
        """Let nothing fail yet; ``calls`` are the names of those that can."""
        self.share = 0.0
        self._random = random.Random(seed)  # noqa: S311 - failures have to come again as they were
        self._waiting: dict[str | None, deque[_Failure]] = {
            name: deque() for name in (*calls, None)
        }

    @property
    def waiting(self) -> int:
        """How many errors no call has met yet."""
        return sum(
            failure.error is not None for queue in self._waiting.values() for failure in queue
        )

    def add(self, call: str | None, *errors: BaseException | None, after: bool = False) -> None:
        """Let the next calls fail, one for each of these errors.

        Args:
            call: the name of the method; ``None`` for whatever is called.
            errors: what is raised, mostly a RetriableError or ``Killed()``; ``None`` lets one call
                pass.
            after: whether the call does its work before it fails, as where only the answer of a
                server was lost.

        Raises:
            ValueError: there is no such call.
        """
        if call not in self._waiting:
            raise ValueError(
                f"no call {call!r}: there are {', '.join(filter(None, self._waiting))}"
            )
        self._waiting[call].extend(_Failure(error, after) for error in errors)

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Fail before or after the block, if a failure waits for this call."""
        waiting = self._waiting[call] or self._waiting[None]
        failure = waiting.popleft() if waiting else _Failure(None, after=False)
        if failure.error is None and self._random.random() < self.share:
            failure = _Failure(RetriableError(f"{call} fails by chance"), after=False)
        if failure.error is not None and not failure.after:
            raise failure.error
        yield
        if failure.error is not None:
            raise failure.error
