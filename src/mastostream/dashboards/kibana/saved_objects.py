"""Rendering of a dashboard as saved objects, the form in which Kibana stores and imports it.

Each panel is a saved object, to which the dashboard refers. Kibana refuses objects that are newer
than itself, and migrates older ones. So the objects have the lowest versions from which Kibana 8.17
migrates without guesses: Kibana 8.9 and all later ones can import them.
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
"""Value of ``typeMigrationVersion`` for each type of saved object. For Lens a lower one would be
wrong: its migrations up to 8.9 expect another form of the state."""

OLDEST_KIBANA: Final = (8, 9)
"""Oldest version of Kibana that accepts all of :data:`TYPE_VERSIONS`."""

_NO_QUERY: Final = {"query": "", "language": "kuery"}
_SEARCH_SOURCE: Final = "kibanaSavedObjectMeta.searchSourceJSON.index"
"""Name of the reference from a saved search to its data view."""


@attrs.frozen(kw_only=True)
class _Names:
    """Ids, names and titles of the objects of one pipeline in one space.

    Attributes:
        space: id of the space; empty or ``default`` for the default space.
        index_prefix: what the names of indices begin with.
    """

    space: str
    index_prefix: str

    def id(self, name: str) -> str:
        """Return the id of the saved object with this name."""
        suffix = "" if self.space in ("", DEFAULT_SPACE) else f"-{self.space}"
        return f"{self.index_prefix}{name}{suffix}"

    def index(self, index: Index) -> str:
        """Return the name of an index in Elasticsearch."""
        return self.index_prefix + index.name

    def title(self, dashboard: Dashboard) -> str:
        """Return the title of a dashboard, with the index prefix if there is one."""
        suffix = f" ({self.index_prefix})" if self.index_prefix else ""
        return f"{dashboard.title}{suffix}"


def saved_objects(
    dashboard: Dashboard, space: str = "", index_prefix: str = ""
) -> tuple[SavedObject, ...]:
    """Return all saved objects of a dashboard: data views, then panels, then the dashboard itself.

    Equal arguments give equal objects.

    Args:
        dashboard: the dashboard to render.
        space: id of the space into which they will be imported; empty or ``default`` for the
            default space. It is part of the ids, because an id can be in one space only: in a
            second one, Kibana would generate other ids.
        index_prefix: what the names of indices begin with. The ids begin with it too, so that one
            space can have the dashboards of several pipelines.
    """
    names = _Names(space=space, index_prefix=index_prefix)
    panels = [place.panel for place in dashboard.places]
    return (
        *(_data_view(index, dashboard, names) for index in dashboard.indices),
        *(_panel(panel, dashboard, names) for panel in panels),
        _dashboard(dashboard, names),
    )


def dashboard_id(dashboard: Dashboard, space: str = "", index_prefix: str = "") -> str:
    """Return the id of the dashboard's saved object; arguments as in :func:`saved_objects`."""
    return _Names(space=space, index_prefix=index_prefix).id(dashboard.name)


def to_ndjson(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return the objects as Kibana imports them: JSON in ASCII, one object on each line."""
    return "".join(
        json.dumps(item, separators=(",", ":"), sort_keys=True) + "\n" for item in objects
    )


def _object(
    kind: str, id_: str, attributes: Mapping[str, object], references: Iterable[Mapping[str, str]]
) -> SavedObject:
    return {
        "type": kind,
        "id": id_,
        "attributes": dict(attributes),
        "references": [dict(reference) for reference in references],
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
                "syncColors": True,  # a language has the same color in all panels
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
        # Filters do not apply to the lists: a filter by a field that only the other index has would
        # leave them empty.
        "ignoreFilters": True,
        "ignoreQuery": True,
        "ignoreTimerange": False,
        # A chosen hashtag stays chosen while no post in the time range has it.
        "ignoreValidations": True,
    }
    return {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": _json(ignored),
        "panelsJSON": _json(panels),
    }
