"""Lint rules for dashboards: the places of panels, and the fields of controls."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from mastostream.dashboards.kibana.lint.file import File, check_references, problem
from mastostream.dashboards.kibana.lint.problems import Problem
from mastostream.dashboards.kibana.lint.shapes import (
    ControlPanel,
    DashboardAttributes,
    Envelope,
    GridPanel,
    SearchSource,
    read,
    read_json,
)

__all__ = ["COLUMNS", "check_dashboard"]

COLUMNS: Final = 48
"""Width of Kibana's grid."""


def check_dashboard(envelope: Envelope, file: File) -> Iterator[Problem]:
    """Check one dashboard.

    Raises:
        msgspec.MsgspecError: its attributes are not those of a dashboard.
    """
    attributes = read(envelope.attributes, DashboardAttributes)
    read_json(attributes.meta.source, SearchSource)
    read_json(attributes.options, dict[str, Any])
    panels = read_json(attributes.panels, list[GridPanel])
    controls: dict[str, ControlPanel] = {}
    if attributes.controls is not None:
        controls = read_json(attributes.controls.panels, dict[str, ControlPanel])
        read_json(attributes.controls.ignored, dict[str, bool])
    to_panels = {f"{panel.index}:{panel.reference}": panel.type for panel in panels}
    to_views = {_reference(name): "index-pattern" for name in controls}
    yield from check_references(envelope, to_panels | to_views)
    yield from _panels(envelope, panels)
    yield from _controls(envelope, controls, file)


def _reference(control: str) -> str:
    return f"controlGroup_{control}:optionsListDataView"


def _panels(envelope: Envelope, panels: Sequence[GridPanel]) -> Iterator[Problem]:
    for name, times in Counter(panel.index for panel in panels).items():
        if times > 1:
            yield problem(envelope, "panel-index", f"{name} is there {times} times")
    for panel in panels:
        if panel.grid.i != panel.index or panel.reference != f"panel_{panel.index}":
            detail = f"{panel.index}: gridData.i {panel.grid.i}, panelRefName {panel.reference}"
            yield problem(envelope, "panel-index", detail)
        grid = panel.grid
        if min(grid.x, grid.y) < 0 or min(grid.w, grid.h) < 1 or grid.x + grid.w > COLUMNS:
            yield problem(envelope, "grid-outside", f"{panel.index}: {grid}")
    for first, second in combinations(panels, 2):
        a, b = first.grid, second.grid
        apart = a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y
        if not apart:
            yield problem(envelope, "grid-overlap", f"{first.index} and {second.index}")


def _controls(
    envelope: Envelope, controls: Mapping[str, ControlPanel], file: File
) -> Iterator[Problem]:
    orders = sorted(control.order for control in controls.values())
    if orders != list(range(len(controls))):
        yield problem(envelope, "control", f"orders {orders}: expected 0, 1, ...")
    for name, control in controls.items():
        if control.input.id != name or control.type != "optionsListControl":
            yield problem(envelope, "control", f"{name}: {control.type} with id {control.input.id}")
        type_ = file.fields(envelope, _reference(name)).get(control.input.field)
        if type_ is None:
            yield problem(envelope, "field-unknown", f"control {name}: {control.input.field}")
        elif type_ not in ("keyword", "boolean"):
            detail = f"control {name}: {control.input.field} is {type_}"
            yield problem(envelope, "field-type", detail)
