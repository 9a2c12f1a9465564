"""Conversion of times to milliseconds since the epoch (1970-01-01 UTC), and back."""

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["from_ms", "to_ms"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def to_ms(time: datetime) -> int:
    """Return the milliseconds from the epoch to an aware time, rounded down."""
    return (time - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """Return the time in UTC; outside the years 1 to 9999, the first or last of that range."""
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return _FIRST if ms < 0 else _LAST
