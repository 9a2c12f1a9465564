"""Turns the rows of a SQL file's view ``results`` into records."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from mastostream.core.trends import TrendingHashtags
from mastostream.core.window_records import (
    DashboardMetrics,
    WindowCount,
    WindowEngagement,
    WindowLanguages,
    WindowUsers,
)

__all__ = ["record_of"]

_KINDS: Final[Mapping[str, type[Any]]] = {
    "engagement": WindowEngagement,
    "language": WindowLanguages,
    "users": WindowUsers,
    "count": WindowCount,
    "dashboard": DashboardMetrics,
    "trends": TrendingHashtags,
}


def record_of(name: str, row: Sequence[object]) -> object:
    """Return the record of an analysis.

    Args:
        name: the name of the SQL file, of :data:`SQL_NAMES`.
        row: the members of the record in their order, with times in UTC that have no zone.
    """
    kind = _KINDS[name]
    members = zip(attrs.fields(kind), row, strict=True)
    return kind(**{field.name: _value(value) for field, value in members})


def _value(value: object) -> object:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return tuple(value) if isinstance(value, list) else value
