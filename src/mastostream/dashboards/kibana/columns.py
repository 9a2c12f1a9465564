"""Columns of a panel: the groups and numbers that Kibana's Lens computes from an index.

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
"""Kibana's name of the pseudo field for columns that count documents."""

Operation = Literal[
    "count", "average", "max", "sum", "unique_count", "terms", "date_histogram", "range"
]


@attrs.frozen(kw_only=True)
class Column:
    """One column: it groups documents, or computes a number for each group.

    Attributes:
        label: text that a reader sees.
        operation: Kibana's name of the aggregation.
        field: a field of the index, or :data:`RECORDS`.
        bucketed: whether the column groups documents.
        data_type: type of the column's values.
        scale: scale of the axis on which the values are drawn.
        params: parameters of the operation.
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
    """Return a column with the number of documents; 0 if there are none."""
    return _number("count", RECORDS, label, empty_is_zero=True)


def distinct(field: str, label: str) -> Column:
    """Return a column with the number of different values of a field; 0 if there are none.

    The number is exact up to 3,000 values, and an estimate above.
    """
    return _number("unique_count", field, label, empty_is_zero=True)


def total(field: str, label: str) -> Column:
    """Return a column with the sum of a field; empty, and not 0, if there are no documents."""
    return _number("sum", field, label, empty_is_zero=False)


def average(field: str, label: str) -> Column:
    """Return a column with the mean of a field; empty if there are no documents."""
    return _number("average", field, label, empty_is_zero=False)


def maximum(field: str, label: str) -> Column:
    """Return a column with the highest value of a field; empty if there are no documents."""
    return _number("max", field, label, empty_is_zero=False)


def top_values(field: str, label: str, *, by: str, size: int, with_others: bool = False) -> Column:
    """Return a column with one group for each of a field's top values, ranked by another column.

    Args:
        field: a field of type ``keyword``.
        label: text that a reader sees.
        by: name of the column whose number ranks the values, highest first.
        size: number of values that have a group.
        with_others: whether all other values are one more group, and documents without the field
            another one, so that the groups have all documents.
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
    """Return a column that groups documents by time.

    The length of a step depends on the time range that is shown: 30 s for 15 minutes.
    """
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
    """Return a column that groups documents by ranges of a whole number.

    Args:
        field: a field of type ``long``.
        label: text that a reader sees.
        starts: lowest value of each range, rising. A range ends just below the next one; the last
            range has no end.
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
