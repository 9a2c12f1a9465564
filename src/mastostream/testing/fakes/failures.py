"""Failures that a test injects into the calls of a fake."""

import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mastostream.exceptions import RetriableError

__all__ = ["Failures", "Killed"]


class Killed(BaseException):
    """Simulates that ``kill -9`` ends the process here; no ``except Exception`` catches it."""


class _Failure(NamedTuple):
    """One failure.

    Attributes:
        error: the error that the call raises; ``None`` if it succeeds.
        after: whether the call does its work before it raises the error.
    """

    error: BaseException | None
    after: bool


class Failures:
    """The failures that a test adds to a fake's calls. Each is raised once.

    The failures of one method are raised in the order in which they were added. Those for any
    method are raised by methods that have none of their own left.

    Attributes:
        share: the share of calls that fail at random, 0 to 1. Such a call raises a RetriableError
            before it does anything. The same seed gives the same failures.
    """

    def __init__(self, *calls: str, seed: int = 1) -> None:
        """Begin without failures.

        Args:
            calls: the names of the methods that can fail.
            seed: the seed of the random failures.
        """
        self.share = 0.0
        self._random = random.Random(seed)  # noqa: S311 - has to be repeatable
        self._waiting: dict[str | None, deque[_Failure]] = {
            name: deque() for name in (*calls, None)
        }

    @property
    def waiting(self) -> int:
        """The number of errors that were added and not raised yet."""
        return sum(
            failure.error is not None for queue in self._waiting.values() for failure in queue
        )

    def add(self, call: str | None, *errors: BaseException | None, after: bool = False) -> None:
        """Let the next calls of a method fail, one call for each error.

        Args:
            call: the name of the method; ``None`` for any method.
            errors: the errors to raise, usually RetriableError or ``Killed()``; ``None`` lets one
                call succeed.
            after: whether the call does its work before it fails, as if only the server's response
                was lost.

        Raises:
            ValueError: the fake has no such method that can fail.
        """
        if call not in self._waiting:
            raise ValueError(
                f"no call {call!r}: there are {', '.join(filter(None, self._waiting))}"
            )
        self._waiting[call].extend(_Failure(error, after) for error in errors)

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Run the work of a call; raise the next failure of this call before or after it."""
        queue = self._waiting[call] or self._waiting[None]
        failure = queue.popleft() if queue else _Failure(None, after=False)
        if failure.error is None and self._random.random() < self.share:
            failure = _Failure(RetriableError(f"{call} fails by chance"), after=False)
        if failure.error is not None and not failure.after:
            raise failure.error
        yield
        if failure.error is not None:
            raise failure.error
