"""Models of the members of saved objects that the linter reads.

Other members are ignored. The exception is the attributes of a dashboard: there, other members are
a problem, because Kibana refuses them.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

__all__ = [
    "VISUALIZATIONS",
    "Accessor",
    "ControlPanel",
    "DashboardAttributes",
    "DataView",
    "Envelope",
    "GridPanel",
    "Layer",
    "Lens",
    "LensColumn",
    "OrderBy",
    "Reference",
    "Search",
    "SearchSource",
    "TermsParams",
    "read",
    "read_json",
]

_T = TypeVar("_T")


class Reference(msgspec.Struct):
    """A reference from one saved object to another."""

    type: str
    id: str
    name: str


class Envelope(msgspec.Struct):
    """The members that all saved objects have."""

    type: str
    id: str
    attributes: dict[str, Any]
    references: list[Reference]
    managed: bool
    core_version: str = msgspec.field(name="coreMigrationVersion")
    type_version: str = msgspec.field(name="typeMigrationVersion")


class DataView(msgspec.Struct):
    """The attributes of a data view."""

    title: str
    name: str
    time_field: str = msgspec.field(name="timeFieldName")
    fields: str
    formats: str = msgspec.field(name="fieldFormatMap", default="{}")


class OrderBy(msgspec.Struct):
    """The column, or other order, by which the values of a terms column are sorted."""

    type: str
    column: str = msgspec.field(name="columnId", default="")


class TermsParams(msgspec.Struct):
    """The parameters of a terms column; other columns of the layer have to fit them."""

    size: int
    order_by: OrderBy = msgspec.field(name="orderBy")


class LensColumn(msgspec.Struct):
    """One column of a Lens layer."""

    operation: str = msgspec.field(name="operationType")
    field: str = msgspec.field(name="sourceField")
    bucketed: bool = msgspec.field(name="isBucketed")
    data_type: str = msgspec.field(name="dataType")
    params: dict[str, Any] = {}


class Layer(msgspec.Struct):
    """One Lens layer."""

    columns: dict[str, LensColumn]
    order: list[str] = msgspec.field(name="columnOrder")


class _FormBased(msgspec.Struct):
    layers: dict[str, Layer]


class _Datasources(msgspec.Struct):
    form_based: _FormBased = msgspec.field(name="formBased")


class _LensState(msgspec.Struct):
    datasources: _Datasources = msgspec.field(name="datasourceStates")
    visualization: dict[str, Any]


class Lens(msgspec.Struct):
    """The attributes of a Lens panel."""

    title: str
    visualization_type: str = msgspec.field(name="visualizationType")
    state: _LensState


class Accessor(msgspec.Struct, frozen=True):
    """A use of a column in a visualization.

    Attributes:
        member: name of the member that refers to the column, for the message.
        column: name of the column.
        bucketed: whether the column has to group documents; ``None`` if it need not, but may.
    """

    member: str
    column: str
    bucketed: bool | None


class _YConfig(msgspec.Struct):
    column: str = msgspec.field(name="forAccessor")


class _XYLayer(msgspec.Struct):
    layer: str = msgspec.field(name="layerId")
    series: str = msgspec.field(name="seriesType")
    x: str = msgspec.field(name="xAccessor")
    ys: list[str] = msgspec.field(name="accessors")
    split: str | None = msgspec.field(name="splitAccessor", default=None)
    axes: list[_YConfig] = msgspec.field(name="yConfig", default_factory=list)

    def uses(self) -> list[Accessor]:
        split = [] if self.split is None else [Accessor("splitAccessor", self.split, True)]
        ys = [Accessor("accessors", name, False) for name in self.ys]
        axes = [Accessor("yConfig", axis.column, False) for axis in self.axes]
        return [Accessor("xAccessor", self.x, True), *split, *ys, *axes]


class _XY(msgspec.Struct):
    layers: list[_XYLayer]


class _PieLayer(msgspec.Struct):
    layer: str = msgspec.field(name="layerId")
    groups: list[str] = msgspec.field(name="primaryGroups")
    metrics: list[str]

    def uses(self) -> list[Accessor]:
        groups = [Accessor("primaryGroups", name, True) for name in self.groups]
        return groups + [Accessor("metrics", name, False) for name in self.metrics]


class _Pie(msgspec.Struct):
    shape: str
    layers: list[_PieLayer]


class _Metric(msgspec.Struct):
    layer: str = msgspec.field(name="layerId")
    metric: str = msgspec.field(name="metricAccessor")

    def uses(self) -> list[Accessor]:
        return [Accessor("metricAccessor", self.metric, False)]


class _TableColumn(msgspec.Struct):
    column: str = msgspec.field(name="columnId")


class _Table(msgspec.Struct):
    layer: str = msgspec.field(name="layerId")
    columns: list[_TableColumn]

    def uses(self) -> list[Accessor]:
        return [Accessor("columns", column.column, None) for column in self.columns]


class _Cloud(msgspec.Struct):
    layer: str = msgspec.field(name="layerId")
    tag: str = msgspec.field(name="tagAccessor")
    value: str = msgspec.field(name="valueAccessor")

    def uses(self) -> list[Accessor]:
        return [
            Accessor("tagAccessor", self.tag, True),
            Accessor("valueAccessor", self.value, False),
        ]


Visualization = _XY | _Pie | _Metric | _Table | _Cloud

VISUALIZATIONS: Final[Mapping[str, type[Visualization]]] = {
    "lnsXY": _XY,
    "lnsPie": _Pie,
    "lnsMetric": _Metric,
    "lnsDatatable": _Table,
    "lnsTagcloud": _Cloud,
}


class _SearchMeta(msgspec.Struct):
    source: str = msgspec.field(name="searchSourceJSON")


class SearchSource(msgspec.Struct):
    """The query of a saved search or of a dashboard."""

    query: dict[str, str]
    filter: list[Any]
    reference: str | None = msgspec.field(name="indexRefName", default=None)


class Search(msgspec.Struct):
    """The attributes of a saved search."""

    title: str
    columns: list[str]
    sort: list[tuple[str, str]]
    meta: _SearchMeta = msgspec.field(name="kibanaSavedObjectMeta")


class _Grid(msgspec.Struct):
    x: int
    y: int
    w: int
    h: int
    i: str


class GridPanel(msgspec.Struct):
    """A panel of a dashboard, and its place on the grid."""

    type: str
    index: str = msgspec.field(name="panelIndex")
    reference: str = msgspec.field(name="panelRefName")
    grid: _Grid = msgspec.field(name="gridData")


class _ControlInput(msgspec.Struct):
    id: str
    field: str = msgspec.field(name="fieldName")


class ControlPanel(msgspec.Struct):
    """A control of a dashboard."""

    type: str
    order: int
    input: _ControlInput = msgspec.field(name="explicitInput")


class _ControlGroup(msgspec.Struct):
    ignored: str = msgspec.field(name="ignoreParentSettingsJSON")
    panels: str = msgspec.field(name="panelsJSON")


class _Refresh(msgspec.Struct):
    pause: bool
    value: int


class DashboardAttributes(msgspec.Struct, forbid_unknown_fields=True):
    """The attributes of a dashboard; others are not allowed."""

    title: str
    panels: str = msgspec.field(name="panelsJSON")
    options: str = msgspec.field(name="optionsJSON")
    meta: _SearchMeta = msgspec.field(name="kibanaSavedObjectMeta")
    description: str = ""
    controls: _ControlGroup | None = msgspec.field(name="controlGroupInput", default=None)
    time_restore: bool = msgspec.field(name="timeRestore", default=False)
    time_from: str | None = msgspec.field(name="timeFrom", default=None)
    time_to: str | None = msgspec.field(name="timeTo", default=None)
    refresh: _Refresh | None = msgspec.field(name="refreshInterval", default=None)
    hits: int = 0
    version: int = 1


def read(value: object, shape: type[_T]) -> _T:
    """Convert a decoded JSON value to a model.

    Raises:
        msgspec.ValidationError: the value does not fit the model; the message names the path.
    """
    return msgspec.convert(value, shape, strict=True)


def read_json(text: str, shape: type[_T]) -> _T:
    """Convert a string that contains JSON, as several members do, to a model.

    Raises:
        msgspec.DecodeError: the text is not JSON, or does not fit the model.
    """
    return msgspec.json.decode(text, type=shape)
