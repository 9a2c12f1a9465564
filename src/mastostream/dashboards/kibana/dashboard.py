"""What a dashboard is made of."""

from collections.abc import Mapping, Sequence

import attrs

from mastostream.core.indices import Index
from mastostream.dashboards.kibana.charts import Chart
from mastostream.dashboards.kibana.columns import Column

__all__ = ["Control", "Dashboard", "Documents", "Panel", "Place"]


@attrs.frozen(kw_only=True)
class Panel:
    """A chart of numbers.

    Attributes:
        name: unique in the dashboard; part of the saved object's id.
        title: above it.
        description: behind the sign beside the title.
        index: whose documents are counted.
        columns: name to column, those that group before the numbers. The order is that in which
            groups are nested.
        chart: how they are drawn.
        hide_title: for a chart that shows its own.
    """

    name: str
    title: str
    description: str
    index: Index
    columns: Mapping[str, Column]
    chart: Chart
    hide_title: bool = False


@attrs.frozen(kw_only=True)
class Documents:
    """A table of documents, not of numbers: text can be shown, though it cannot be grouped.

    Attributes:
        name: unique in the dashboard; part of the saved object's id.
        title: above it.
        description: behind the sign beside the title.
        index: whose documents are shown.
        fields: the columns, with their widths in pixels; 0 for the room that is left.
        highest_first: the field that they are sorted by.
    """

    name: str
    title: str
    description: str
    index: Index
    fields: Mapping[str, int]
    highest_first: str


@attrs.frozen(kw_only=True)
class Place:
    """Where a panel lies on the grid, which is 48 columns wide and as long as it needs to be."""

    panel: Panel | Documents
    x: int
    y: int
    width: int
    height: int


@attrs.frozen(kw_only=True)
class Control:
    """A list to choose values from.

    Attributes:
        field: a keyword of the index.
        index: where the values to choose from come from.
        title: before it.
    """

    field: str
    index: Index
    title: str


@attrs.frozen(kw_only=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: the saved object's id.
        links: fields that hold an address, by the name of their index; shown as links.
        time_from: the span that is shown at first, in Elasticsearch's date math, until now.
        refresh_s: how often it asks again.
    """

    name: str
    title: str
    description: str
    indices: Sequence[Index]
    links: Mapping[str, Sequence[str]]
    places: Sequence[Place]
    controls: Sequence[Control]
    time_from: str
    refresh_s: int
