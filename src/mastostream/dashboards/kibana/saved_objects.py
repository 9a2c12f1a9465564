"""Dashboards as Kibana keeps them: saved objects.

They carry the lowest versions that Kibana 8.17 does not have to migrate by guesswork: a Kibana
refuses objects that are newer than itself and migrates older ones, so that 8.9 and all later ones
can import them. Panels are saved objects of their own, which the dashboard refers to.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from mastostream.core.indices import Index
from mastostream.dashboards.kibana.charts import LAYER
from mastostream.dashboards.kibana.columns import Column
from mastostream.dashboards.kibana.dashboard import Control, Dashboard, Documents, Panel, Place

__all__ = [
    "CORE_VERSION",
    "DEFAULT_SPACE",
    "OLDEST_KIBANA",
    "TYPE_VERSIONS",
    "SavedObject",
    "dashboard_id",
    "saved_objects",
    "to_ndjson",
]

SavedObject = dict[str, Any]

DEFAULT_SPACE: Final = "default"
CORE_VERSION: Final = "8.8.0"
TYPE_VERSIONS: Final[Mapping[str, str]] = {
    "index-pattern": "8.0.0",
    "lens": "8.9.0",
    "search": "8.0.0",
    "dashboard": "8.9.0",
}
"""What ``typeMigrationVersion`` may be, by type. For Lens no lower one would do: its migrations up
to 8.9 expect another form of its state."""

OLDEST_KIBANA: Final = (8, 9)
"""The first that knows all of :data:`TYPE_VERSIONS`."""

_NO_QUERY: Final = {"query": "", "language": "kuery"}
_SEARCH_SOURCE: Final = "kibanaSavedObjectMeta.searchSourceJSON.index"
"""The name of a saved search's reference to its data view."""


@attrs.frozen(kw_only=True)
class _Names:
    """What the objects of one pipeline are called in one space.

    Attributes:
        space: empty or ``default`` for the default space.
        index_prefix: what names of indices begin with.
    """

    space: str
    index_prefix: str

    def id(self, name: str) -> str:
        """Return the id of an object."""
        suffix = "" if self.space in ("", DEFAULT_SPACE) else f"-{self.space}"
        return f"{self.index_prefix}{name}{suffix}"

    def index(self, index: Index) -> str:
        """Return the name of an index in Elasticsearch."""
        return self.index_prefix + index.name

    def title(self, dashboard: Dashboard) -> str:
        """Return what a list of dashboards shows."""
        told = f" ({self.index_prefix})" if self.index_prefix else ""
        return f"{dashboard.title}{told}"


def saved_objects(
    dashboard: Dashboard, space: str = "", index_prefix: str = ""
) -> tuple[SavedObject, ...]:
    """Return all that a dashboard needs, data views first, itself last.

    Equal calls give equal objects.

    Args:
        dashboard: what to render.
        space: where they will be imported; empty or ``default`` for the default space. It is part
            of the ids: an id can be in one space only, and in a second Kibana would make up others.
        index_prefix: what names of indices begin with; the ids do too, so that the dashboards of
            several pipelines have room in one space.
    """
    names = _Names(space=space, index_prefix=index_prefix)
    panels = [place.panel for place in dashboard.places]
    return (
        *(_data_view(index, dashboard, names) for index in dashboard.indices),
        *(_panel(panel, dashboard, names) for panel in panels),
        _dashboard(dashboard, names),
    )


def dashboard_id(dashboard: Dashboard, space: str = "", index_prefix: str = "") -> str:
    """Return the id that the dashboard has. Arguments as above."""
    return _Names(space=space, index_prefix=index_prefix).id(dashboard.name)


def to_ndjson(objects: Iterable[Mapping[str, Any]]) -> str:
    """Write one object a line, as Kibana exports and imports them: ASCII."""
    return "".join(
        json.dumps(each, separators=(",", ":"), sort_keys=True) + "\n" for each in objects
    )


def _object(
    kind: str, id_: str, attributes: Mapping[str, object], references: Iterable[Mapping[str, str]]
) -> SavedObject:
    return {
        "type": kind,
        "id": id_,
        "attributes": dict(attributes),
        "references": [dict(each) for each in references],
        "managed": False,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[kind],
    }


def _to(index: Index, names: _Names, name: str) -> dict[str, str]:
    return {"type": "index-pattern", "id": names.id(index.name), "name": name}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _data_view(index: Index, dashboard: Dashboard, names: _Names) -> SavedObject:
    formats = {field: {"id": "url"} for field in dashboard.links.get(index.name, ())}
    attributes = {
        "title": names.index(index),
        "name": names.index(index),
        "timeFieldName": index.time_field,
        "fields": "[]",
        "fieldFormatMap": _json(formats),
    }
    return _object("index-pattern", names.id(index.name), attributes, [])


def _panel_id(panel: Panel | Documents, dashboard: Dashboard, names: _Names) -> str:
    return names.id(f"{dashboard.name}-{panel.name}")


def _panel(panel: Panel | Documents, dashboard: Dashboard, names: _Names) -> SavedObject:
    id_ = _panel_id(panel, dashboard, names)
    return _search(panel, id_, names) if isinstance(panel, Documents) else _lens(panel, id_, names)


def _lens(panel: Panel, id_: str, names: _Names) -> SavedObject:
    layer = {
        "columnOrder": list(panel.columns),
        "columns": {name: _column(column) for name, column in panel.columns.items()},
        "incompleteColumns": {},
    }
    attributes = {
        "title": panel.title,
        "description": panel.description,
        "visualizationType": panel.chart.type,
        "state": {
            "datasourceStates": {"formBased": {"layers": {LAYER: layer}}},
            "visualization": dict(panel.chart.state),
            "query": _NO_QUERY,
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }
    reference = _to(panel.index, names, f"indexpattern-datasource-layer-{LAYER}")
    return _object("lens", id_, attributes, [reference])


def _column(column: Column) -> dict[str, object]:
    return {
        "label": column.label,
        "customLabel": True,
        "dataType": column.data_type,
        "operationType": column.operation,
        "isBucketed": column.bucketed,
        "scale": column.scale,
        "sourceField": column.field,
        "params": dict(column.params),
    }


def _search(panel: Documents, id_: str, names: _Names) -> SavedObject:
    source = {"query": _NO_QUERY, "filter": [], "indexRefName": _SEARCH_SOURCE}
    widths = {field: {"width": width} for field, width in panel.fields.items() if width}
    attributes = {
        "title": panel.title,
        "description": panel.description,
        "columns": list(panel.fields),
        "sort": [[panel.highest_first, "desc"]],
        "grid": {"columns": widths},
        "rowHeight": 3,
        "hideChart": True,
        "isTextBasedQuery": False,
        "timeRestore": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _json(source)},
    }
    return _object("search", id_, attributes, [_to(panel.index, names, _SEARCH_SOURCE)])


def _dashboard(dashboard: Dashboard, names: _Names) -> SavedObject:
    attributes = {
        "title": names.title(dashboard),
        "description": dashboard.description,
        "panelsJSON": _json([_placed(place) for place in dashboard.places]),
        "optionsJSON": _json(
            {
                "useMargins": True,
                "hidePanelTitles": False,
                "syncColors": True,  # a language has one color everywhere
                "syncCursor": True,
                "syncTooltips": False,
            }
        ),
        "controlGroupInput": _controls(dashboard.controls),
        "kibanaSavedObjectMeta": {"searchSourceJSON": _json({"query": _NO_QUERY, "filter": []})},
        "timeRestore": True,
        "timeFrom": dashboard.time_from,
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": dashboard.refresh_s * 1000},
        "version": 1,
    }
    references = [
        *(_to_panel(place, dashboard, names) for place in dashboard.places),
        *(
            _to(control.index, names, f"controlGroup_{_control_id(control)}:optionsListDataView")
            for control in dashboard.controls
        ),
    ]
    return _object("dashboard", names.id(dashboard.name), attributes, references)


def _kind(panel: Panel | Documents) -> str:
    return "search" if isinstance(panel, Documents) else "lens"


def _placed(place: Place) -> dict[str, object]:
    name = place.panel.name
    hides = isinstance(place.panel, Panel) and place.panel.hide_title
    return {
        "type": _kind(place.panel),
        "panelIndex": name,
        "panelRefName": f"panel_{name}",
        "gridData": {"x": place.x, "y": place.y, "w": place.width, "h": place.height, "i": name},
        "embeddableConfig": {"enhancements": {}} | ({"hidePanelTitles": True} if hides else {}),
    }


def _to_panel(place: Place, dashboard: Dashboard, names: _Names) -> dict[str, str]:
    name = place.panel.name
    return {
        "type": _kind(place.panel),
        "id": _panel_id(place.panel, dashboard, names),
        "name": f"{name}:panel_{name}",
    }


def _control_id(control: Control) -> str:
    return f"control-{control.field}"


def _controls(controls: Iterable[Control]) -> dict[str, object]:
    panels = {
        _control_id(control): {
            "type": "optionsListControl",
            "order": order,
            "width": "medium",
            "grow": True,
            "explicitInput": {
                "id": _control_id(control),
                "fieldName": control.field,
                "title": control.title,
                "searchTechnique": "prefix",
                "selectedOptions": [],
                "enhancements": {},
            },
        }
        for order, control in enumerate(controls)
    }
    ignored = {
        # A filter by a field that only the other index has would leave nothing to choose from.
        "ignoreFilters": True,
        "ignoreQuery": True,
        "ignoreTimerange": False,
        # A chosen hashtag stays chosen in minutes when nobody uses it.
        "ignoreValidations": True,
    }
    return {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": _json(ignored),
        "panelsJSON": _json(panels),
    }
