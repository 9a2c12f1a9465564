"""How a panel draws its columns: the visualizations of Lens.

Their state is what Kibana 8.9 and later read. A chart names columns; it holds no data.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import attrs

__all__ = ["LAYER", "Chart", "bars", "donut", "lines", "table", "tag_cloud", "tile"]

LAYER: Final = "layer"
"""The one layer of each panel."""


@attrs.frozen(kw_only=True)
class Chart:
    """One visualization.

    Attributes:
        type: Kibana's name of it.
        state: what it keeps; all columns in it are those of :data:`LAYER`.
    """

    type: Literal["lnsXY", "lnsPie", "lnsMetric", "lnsDatatable", "lnsTagcloud"]
    state: Mapping[str, object]


_ON_LAYER: Final[dict[str, object]] = {"layerId": LAYER, "layerType": "data"}
_AXES: Final = {"x": True, "yLeft": True, "yRight": True}


def bars(*, x: str, y: str, split: str | None = None, horizontal: bool = False) -> Chart:
    """Draw one number as bars, stacked by ``split`` if given."""
    series = "bar_horizontal" if horizontal else "bar_stacked" if split else "bar"
    layer = _ON_LAYER | {"seriesType": series, "xAccessor": x, "accessors": [y]}
    if split:
        layer |= {"splitAccessor": split}
    return _xy(series, layer, legend=split is not None)


def lines(*, x: str, left: str, right: str) -> Chart:
    """Draw two numbers as lines, each on an axis of its own. Gaps stay gaps."""
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
    """Draw shares of a whole."""
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
    """Show one number, large."""
    return Chart(type="lnsMetric", state=_ON_LAYER | {"metricAccessor": number})


def table(columns: Sequence[str]) -> Chart:
    """Show the columns as they are."""
    listed = [{"columnId": name} for name in columns]
    return Chart(type="lnsDatatable", state=_ON_LAYER | {"columns": listed})


def tag_cloud(*, tag: str, number: str) -> Chart:
    """Show values, the larger the higher their number."""
    state = {
        "tagAccessor": tag,
        "valueAccessor": number,
        "minFontSize": 14,
        "maxFontSize": 48,
        "orientation": "single",
        "showLabel": False,
    }
    return Chart(type="lnsTagcloud", state=_ON_LAYER | state)
