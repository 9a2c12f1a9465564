"""What a panel counts: the columns of a Lens layer.

Names, types and parameters are those of Kibana's form-based Lens columns, as 8.9 writes them.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import attrs

__all__ = [
    "RECORDS",
    "Column",
    "Operation",
    "average",
    "count",
    "distinct",
    "maximum",
    "over_time",
    "ranges",
    "top_values",
    "total",
]

RECORDS: Final = "___records___"
"""What is counted where documents are: no field of any index."""

Operation = Literal[
    "count", "average", "max", "sum", "unique_count", "terms", "date_histogram", "range"
]


@attrs.frozen(kw_only=True)
class Column:
    """One column: it groups documents, or is a number of each group.

    Attributes:
        label: what a reader sees.
        operation: Kibana's name of the aggregation.
        field: of the index, or :data:`RECORDS`.
        bucketed: whether it groups.
        data_type: of the values that come out.
        scale: of the axis that they are drawn on.
        params: of the operation.
    """

    label: str
    operation: Operation
    field: str
    bucketed: bool
    data_type: Literal["string", "number", "date"]
    scale: Literal["ordinal", "interval", "ratio"]
    params: Mapping[str, object]


def _number(operation: Operation, field: str, label: str, *, empty_is_zero: bool) -> Column:
    return Column(
        label=label,
        operation=operation,
        field=field,
        bucketed=False,
        data_type="number",
        scale="ratio",
        params={"emptyAsNull": not empty_is_zero},
    )


def count(label: str) -> Column:
    """Count documents; 0 where there are none."""
    return _number("count", RECORDS, label, empty_is_zero=True)


def distinct(field: str, label: str) -> Column:
    """Count different values; 0 where there are none. Exact up to 3,000, then an estimate."""
    return _number("unique_count", field, label, empty_is_zero=True)


def total(field: str, label: str) -> Column:
    """Add up a field; nothing, rather than 0, where there are no documents."""
    return _number("sum", field, label, empty_is_zero=False)


def average(field: str, label: str) -> Column:
    """Take the mean of a field; nothing where there are no documents."""
    return _number("average", field, label, empty_is_zero=False)


def maximum(field: str, label: str) -> Column:
    """Take the highest value of a field; nothing where there are no documents."""
    return _number("max", field, label, empty_is_zero=False)


def top_values(field: str, label: str, *, by: str, size: int, with_others: bool = False) -> Column:
    """Group by the values of a keyword that have the highest number.

    Args:
        field: a keyword.
        label: what a reader sees.
        by: the name of the column that holds the number.
        size: how many values.
        with_others: the rest as one more group, and documents without the field as another, so
            that the groups add up to all documents.
    """
    return Column(
        label=label,
        operation="terms",
        field=field,
        bucketed=True,
        data_type="string",
        scale="ordinal",
        params={
            "size": size,
            "orderBy": {"type": "column", "columnId": by},
            "orderDirection": "desc",
            "otherBucket": with_others,
            "missingBucket": with_others,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
    )


def over_time(field: str, label: str) -> Column:
    """Group by time, in steps that fit the span that is looked at: 30 s in 15 minutes."""
    return Column(
        label=label,
        operation="date_histogram",
        field=field,
        bucketed=True,
        data_type="date",
        scale="interval",
        params={"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    )


def ranges(field: str, label: str, starts: Sequence[int]) -> Column:
    """Group a whole number into ranges, each from one start to just below the next.

    Args:
        field: a whole number.
        label: what a reader sees.
        starts: rising; the last range has no end.
    """
    ends = [*starts[1:], None]
    return Column(
        label=label,
        operation="range",
        field=field,
        bucketed=True,
        data_type="string",
        scale="ordinal",
        params={
            "type": "range",
            "ranges": [
                {"from": start, "to": end, "label": _range_label(start, end)}
                for start, end in zip(starts, ends, strict=True)
            ],
            "maxBars": "auto",
            "parentFormat": {
                "id": "range",
                "params": {"template": "arrow_right", "replaceInfinity": True},
            },
        },
    )


def _range_label(start: int, end: int | None) -> str:
    if end is None:
        return f"{start} and more"
    return str(start) if end == start + 1 else f"{start} to {end - 1}"
