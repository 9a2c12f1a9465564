"""Models of a dashboard: panels, their places, and controls."""

from collections.abc import Mapping, Sequence

import attrs

from mastostream.core.indices import Index
from mastostream.dashboards.kibana.charts import Chart
from mastostream.dashboards.kibana.columns import Column

__all__ = ["Control", "Dashboard", "Documents", "Panel", "Place"]


@attrs.frozen(kw_only=True)
class Panel:
    """A panel with a chart.

    Attributes:
        name: unique in the dashboard; part of the saved object's id.
        title: text above the chart.
        description: text that the icon beside the title shows.
        index: the index whose documents the columns count.
        columns: name to column. Columns that group come before numbers, the outermost group first.
        chart: how the columns are drawn.
        hide_title: whether to hide the title, for a chart that shows its own.
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
    """A panel with a table of documents.

    It can show fields of type ``text``, by which a chart cannot group.

    Attributes:
        name: unique in the dashboard; part of the saved object's id.
        title: text above the table.
        description: text that the icon beside the title shows.
        index: the index whose documents are shown.
        fields: field of each column, to its width in pixels; 0 for the space that is left.
        highest_first: the field by which documents are sorted, highest value first.
    """

    name: str
    title: str
    description: str
    index: Index
    fields: Mapping[str, int]
    highest_first: str


@attrs.frozen(kw_only=True)
class Place:
    """The place of a panel on the grid, which has 48 columns and as many rows as it needs.

    Attributes:
        panel: the panel.
        x: left column, from 0.
        y: top row, from 0.
        width: number of columns, at least 1.
        height: number of rows, at least 1.
    """

    panel: Panel | Documents
    x: int
    y: int
    width: int
    height: int


@attrs.frozen(kw_only=True)
class Control:
    """A list of values by which a reader filters the dashboard.

    Attributes:
        field: a field of the index, of type ``keyword``.
        index: the index whose values are listed.
        title: text before the list.
    """

    field: str
    index: Index
    title: str


@attrs.frozen(kw_only=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: id of the saved object, without the index prefix and the space.
        title: text in Kibana's list of dashboards.
        description: text below the title.
        indices: the indices that panels and controls use.
        links: name of an index, to the fields of it that contain an address and are shown as links.
        places: the panels and their places.
        controls: the controls, in their order.
        time_from: start of the time range that is shown at first, in Elasticsearch's date math; its
            end is now.
        refresh_s: seconds between two refreshes.
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
