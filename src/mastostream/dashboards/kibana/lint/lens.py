"""Lint rules for Lens panels: their columns, the fields of these, and the chart."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from mastostream.core.indices import FieldType
from mastostream.dashboards.kibana.columns import RECORDS
from mastostream.dashboards.kibana.lint.file import File, check_references, problem
from mastostream.dashboards.kibana.lint.problems import Problem
from mastostream.dashboards.kibana.lint.shapes import (
    VISUALIZATIONS,
    Accessor,
    Envelope,
    Layer,
    Lens,
    LensColumn,
    TermsParams,
    read,
)

__all__ = ["check_lens"]

_NUMBER: Final[frozenset[FieldType]] = frozenset({"long"})
_VALUES: Final[frozenset[FieldType]] = frozenset({"keyword", "long", "boolean"})
_TAKES: Final[Mapping[str, frozenset[FieldType]]] = {
    "terms": _VALUES,
    "unique_count": _VALUES,
    "date_histogram": frozenset({"date"}),
    "range": _NUMBER,
    "average": _NUMBER,
    "max": _NUMBER,
    "sum": _NUMBER,
}
"""Types of fields that each operation accepts. None accepts ``text``: Elasticsearch keeps no values
of such fields for aggregations."""

# The operations that group documents, and the types of the values that operations return.
_BUCKETS: Final = frozenset({"terms", "date_histogram", "range"})
_TERMS_TYPES: Final[Mapping[FieldType, str]] = {
    "keyword": "string",
    "long": "number",
    "boolean": "boolean",
}
_TYPES: Final[Mapping[str, str]] = {"date_histogram": "date", "range": "string"}


def check_lens(envelope: Envelope, file: File) -> Iterator[Problem]:
    """Check one Lens panel.

    Raises:
        msgspec.MsgspecError: its attributes are not those of a Lens panel.
    """
    lens = read(envelope.attributes, Lens)
    layers = lens.state.datasources.form_based.layers
    names = {layer: f"indexpattern-datasource-layer-{layer}" for layer in layers}
    yield from check_references(envelope, dict.fromkeys(names.values(), "index-pattern"))
    for name, layer in layers.items():
        fields = file.fields(envelope, names[name])
        yield from _order(envelope, layer)
        for key, column in layer.columns.items():
            yield from _column(envelope, key, column, fields)
            if column.operation == "terms":
                yield from _order_by(envelope, key, column, layer)
    yield from _chart(envelope, lens, layers)


def _order(envelope: Envelope, layer: Layer) -> Iterator[Problem]:
    if sorted(layer.order) != sorted(layer.columns):
        detail = f"{layer.order} are not the columns {list(layer.columns)}"
        yield problem(envelope, "column-order", detail)
        return
    bucketed = [layer.columns[name].bucketed for name in layer.order]
    if bucketed != sorted(bucketed, reverse=True):
        yield problem(envelope, "column-order", f"{layer.order}: a number comes before a group")


def _column(
    envelope: Envelope, key: str, column: LensColumn, fields: Mapping[str, FieldType]
) -> Iterator[Problem]:
    where = f"{key}: {column.operation} of {column.field}"
    type_ = fields.get(column.field)
    expected = "number"
    if column.operation == "count":
        if column.field != RECORDS:
            yield problem(envelope, "field-type", f"{where}: it counts {RECORDS}")
    elif type_ is None:
        yield problem(envelope, "field-unknown", where)
        return
    elif type_ not in _TAKES.get(column.operation, ()):
        yield problem(envelope, "field-type", f"{where}, which is {type_}")
        return
    elif column.operation == "terms":
        expected = _TERMS_TYPES[type_]
    else:
        expected = _TYPES.get(column.operation, "number")
    if column.data_type != expected or column.bucketed != (column.operation in _BUCKETS):
        actual = f"{column.data_type}, {'' if column.bucketed else 'not '}bucketed"
        yield problem(envelope, "data-type", f"{where}: {actual}, expected {expected}")


def _order_by(envelope: Envelope, key: str, column: LensColumn, layer: Layer) -> Iterator[Problem]:
    order_by = read(column.params, TermsParams).order_by
    if order_by.type != "column":
        return
    target = layer.columns.get(order_by.column)
    if target is None or target.bucketed:
        what = "no column" if target is None else "a group"
        yield problem(envelope, "order-by", f"{key}: {order_by.column} is {what}")


def _chart(envelope: Envelope, lens: Lens, layers: Mapping[str, Layer]) -> Iterator[Problem]:
    shape = VISUALIZATIONS.get(lens.visualization_type)
    if shape is None:
        raise msgspec.ValidationError(f"unknown visualizationType {lens.visualization_type}")
    chart = read(lens.state.visualization, shape)
    drawn = {layer.layer: layer.uses() for layer in getattr(chart, "layers", [chart])}
    if drawn.keys() != layers.keys():
        yield problem(envelope, "layer", f"draws {sorted(drawn)}, there are {sorted(layers)}")
    for name, uses in drawn.items():
        if name in layers:
            yield from _accessors(envelope, uses, layers[name])


def _accessors(envelope: Envelope, uses: list[Accessor], layer: Layer) -> Iterator[Problem]:
    for use in uses:
        column = layer.columns.get(use.column)
        if column is None:
            yield problem(envelope, "accessor", f"{use.member}: there is no column {use.column}")
        elif use.bucketed not in (None, column.bucketed):
            what = "group" if use.bucketed else "number"
            yield problem(envelope, "accessor", f"{use.member}: {use.column} is no {what}")
    for name in layer.columns.keys() - {use.column for use in uses}:
        yield problem(envelope, "accessor", f"the column {name} is not drawn")
