"""How long to wait after a failure."""

from typing import Final

from tenacity import wait_random_exponential

__all__ = ["LONGEST_BACKOFF_S", "backoff_s"]

LONGEST_BACKOFF_S: Final = 60.0
_wait = wait_random_exponential(multiplier=1.0, max=LONGEST_BACKOFF_S)


class _Attempt:
    """What tenacity's wait strategies look at."""

    def __init__(self, attempt_number: int) -> None:
        self.attempt_number = attempt_number


def backoff_s(failures: int) -> float:
    """Return seconds: exponential in the failures in a row, with full jitter, at most 60."""
    return float(_wait(_Attempt(failures)))  # type: ignore[arg-type]  # all that it reads
