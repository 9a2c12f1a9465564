"""Backoff: how long to wait after failed requests."""

from typing import Final

from tenacity import wait_random_exponential

__all__ = ["LONGEST_BACKOFF_S", "backoff_s"]

LONGEST_BACKOFF_S: Final = 60.0
_wait = wait_random_exponential(multiplier=1.0, max=LONGEST_BACKOFF_S)


class _Attempt:
    """The one part of tenacity's ``RetryCallState`` that its wait strategies read."""

    def __init__(self, attempt_number: int) -> None:
        self.attempt_number = attempt_number


def backoff_s(failures: int) -> float:
    """Return seconds to wait: exponential in the failures in a row, full jitter, at most 60 s."""
    return float(_wait(_Attempt(failures)))  # type: ignore[arg-type]  # it reads only the attempt's number
