"""Charts: the visualizations of Kibana's Lens, by which panels draw their columns.

A chart refers to columns by name and contains no data. The states are in the format that Kibana 8.9
and later read.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import attrs

__all__ = ["LAYER", "Chart", "bars", "donut", "lines", "table", "tag_cloud", "tile"]

LAYER: Final = "layer"
"""Id of the layer of each panel; a panel has only one."""


@attrs.frozen(kw_only=True)
class Chart:
    """One visualization.

    Attributes:
        type: Kibana's name of the visualization.
        state: Kibana's state of the visualization; its columns are those of :data:`LAYER`.
    """

    type: Literal["lnsXY", "lnsPie", "lnsMetric", "lnsDatatable", "lnsTagcloud"]
    state: Mapping[str, object]


_ON_LAYER: Final[dict[str, object]] = {"layerId": LAYER, "layerType": "data"}
_AXES: Final = {"x": True, "yLeft": True, "yRight": True}


def bars(*, x: str, y: str, split: str | None = None, horizontal: bool = False) -> Chart:
    """Draw the column ``y`` as bars over the groups ``x``, stacked by ``split`` if it is given."""
    series = "bar_horizontal" if horizontal else "bar_stacked" if split else "bar"
    layer = _ON_LAYER | {"seriesType": series, "xAccessor": x, "accessors": [y]}
    if split:
        layer |= {"splitAccessor": split}
    return _xy(series, layer, legend=split is not None)


def lines(*, x: str, left: str, right: str) -> Chart:
    """Draw two numbers as lines over the groups ``x``, each on its own axis; gaps stay."""
    axes = [{"forAccessor": left, "axisMode": "left"}, {"forAccessor": right, "axisMode": "right"}]
    layer = _ON_LAYER | {
        "seriesType": "line",
        "xAccessor": x,
        "accessors": [left, right],
        "yConfig": axes,
    }
    return _xy("line", layer, legend=True)


def _xy(series: str, layer: Mapping[str, object], *, legend: bool) -> Chart:
    state = {
        "preferredSeriesType": series,
        "legend": {"isVisible": legend, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": _AXES | {"x": False},
        "tickLabelsVisibilitySettings": _AXES,
        "gridlinesVisibilitySettings": _AXES,
        "layers": [layer],
    }
    return Chart(type="lnsXY", state=state)


def donut(*, group: str, number: str) -> Chart:
    """Draw each group's share of a number."""
    layer = _ON_LAYER | {
        "primaryGroups": [group],
        "metrics": [number],
        "numberDisplay": "percent",
        "categoryDisplay": "default",
        "legendDisplay": "default",
        "nestedLegend": False,
    }
    return Chart(type="lnsPie", state={"shape": "donut", "layers": [layer]})


def tile(*, number: str) -> Chart:
    """Show one number in large digits."""
    return Chart(type="lnsMetric", state=_ON_LAYER | {"metricAccessor": number})


def table(columns: Sequence[str]) -> Chart:
    """Show the columns as a table."""
    shown = [{"columnId": name} for name in columns]
    return Chart(type="lnsDatatable", state=_ON_LAYER | {"columns": shown})


def tag_cloud(*, tag: str, number: str) -> Chart:
    """Show the values of ``tag`` as words: the higher a value's number, the larger the word."""
    state = {
        "tagAccessor": tag,
        "valueAccessor": number,
        "minFontSize": 14,
        "maxFontSize": 48,
        "orientation": "single",
        "showLabel": False,
    }
    return Chart(type="lnsTagcloud", state=_ON_LAYER | state)
