"""Each rule of the linter goes red on an object that breaks it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastostream.core.indices import INDICES
from mastostream.dashboards.kibana import LIVE, lint, saved_objects
from mastostream.dashboards.kibana.lint import Rule

Objects = list[dict[str, Any]]
Break = Callable[[Objects], object]
GOOD = saved_objects(LIVE)


def get(objects: Objects, name: str) -> dict[str, Any]:
    return next(each for each in objects if each["id"] == name)


def panel(objects: Objects, name: str) -> dict[str, Any]:
    return get(objects, f"mastodon-live-{name}")


def layer(objects: Objects, name: str) -> dict[str, Any]:
    state: dict[str, Any] = panel(objects, name)["attributes"]["state"]
    return state["datasourceStates"]["formBased"]["layers"]["layer"]


def column(objects: Objects, name: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = layer(objects, name)["columns"][key]
    return found


def chart(objects: Objects, name: str) -> dict[str, Any]:
    found: dict[str, Any] = panel(objects, name)["attributes"]["state"]["visualization"]
    return found


def within(holder: dict[str, Any], member: str, change: Callable[[Any], object]) -> None:
    """Change what a string of JSON holds."""
    value = json.loads(holder[member])
    change(value)
    holder[member] = json.dumps(value)


def grid(objects: Objects, change: Callable[[list[dict[str, Any]]], object]) -> None:
    within(get(objects, "mastodon-live")["attributes"], "panelsJSON", change)


def controls(objects: Objects, change: Callable[[dict[str, Any]], object]) -> None:
    within(get(objects, "mastodon-live")["attributes"]["controlGroupInput"], "panelsJSON", change)


def dashboard(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = get(objects, "mastodon-live")["attributes"]
    return found


def unlike(old: str, new: str) -> Break:
    """Give a reference's target, wherever it is named, another name."""

    def change(objects: Objects) -> None:
        for each in objects:
            for reference in each["references"]:
                if reference["id"] == old:
                    reference["id"] = new

    return change


BROKEN: list[tuple[str, Rule, Break]] = [
    # the file
    ("a member is missing", "form", lambda o: o[0].pop("references")),
    ("a member is of another type", "form", lambda o: o[0].update(managed="no")),
    ("no object at all", "form", lambda o: o.append([])),  # type: ignore[arg-type]  # the point
    ("a type of others", "form", lambda o: o[-1].update(type="canvas")),
    ("one id twice", "id", lambda o: o.append(copy.deepcopy(o[-1]))),
    ("too new for 8.17", "version", lambda o: o[-1].update(typeMigrationVersion="10.3.0")),
    ("too old for Lens", "version", lambda o: o[2].update(typeMigrationVersion="8.8.0")),
    ("another core", "version", lambda o: o[0].update(coreMigrationVersion="8.17.4")),
    # references
    (
        "a data view that is not in the file",
        "reference-unresolved",
        unlike("mastodon-engagement", "elsewhere"),
    ),
    ("a panel that is not in the file", "reference-unresolved", lambda o: o.pop(3)),
    (
        "a layer without a data view",
        "reference-missing",
        lambda o: panel(o, "volume").update(references=[]),
    ),
    (
        "a reference of another type",
        "reference-missing",
        lambda o: get(o, "mastodon-live")["references"][0].update(type="search"),
    ),
    (
        "a reference that nothing uses",
        "reference-unused",
        lambda o: panel(o, "volume")["references"].append(
            {"type": "index-pattern", "id": "mastodon-hashtags", "name": "more"}
        ),
    ),
    (
        "a data view of a search under another name",
        "reference-missing",
        lambda o: panel(o, "top-posts")["references"][0].update(name="x"),
    ),
    ("a panel that is not placed", "reference-unused", lambda o: grid(o, lambda p: p.pop())),
    (
        "an object that nothing refers to",
        "orphan",
        lambda o: o.append(copy.deepcopy(o[2]) | {"id": "more"}),
    ),
    # data views
    (
        "a data view that refers to something",
        "reference-unused",
        lambda o: o[0]["references"].append(copy.deepcopy(o[-1]["references"][0])),
    ),
    ("an index of others", "index", lambda o: o[0]["attributes"].update(title="logs-*")),
    (
        "a time that is none",
        "field-type",
        lambda o: o[0]["attributes"].update(timeFieldName="account"),
    ),
    (
        "a format of no field",
        "field-unknown",
        lambda o: o[0]["attributes"].update(fieldFormatMap='{"links":{}}'),
    ),
    ("a format that is no JSON", "form", lambda o: o[0]["attributes"].update(fieldFormatMap="{")),
    # columns
    (
        "a field that is not there",
        "field-unknown",
        lambda o: column(o, "volume", "language").update(sourceField="langauge"),
    ),
    (
        "a field of the other index",
        "field-unknown",
        lambda o: column(o, "total-engagement", "total").update(sourceField="hashtag_counts"),
    ),
    (
        "values of a text",
        "field-type",
        lambda o: (
            unlike("mastodon-hashtags", "mastodon-engagement")(o),
            column(o, "active-accounts", "account").update(sourceField="content"),
        ),
    ),
    (
        "different values of a text",
        "field-type",
        lambda o: (
            unlike("mastodon-hashtags", "mastodon-engagement")(o),
            column(o, "account-count", "accounts").update(sourceField="display_name"),
        ),
    ),
    (
        "a sum of words",
        "field-type",
        lambda o: column(o, "total-engagement", "total").update(sourceField="account"),
    ),
    (
        "an average of times",
        "field-type",
        lambda o: column(o, "average-engagement", "average").update(sourceField="created_at"),
    ),
    (
        "the highest of words",
        "field-type",
        lambda o: column(o, "engagement-over-time", "highest").update(sourceField="url"),
    ),
    (
        "a time axis of numbers",
        "field-type",
        lambda o: column(o, "engagement-over-time", "time").update(sourceField="replies_count"),
    ),
    (
        "ranges of words",
        "field-type",
        lambda o: column(o, "engagement-ranges", "range").update(sourceField="account"),
    ),
    (
        "a count of a field",
        "field-type",
        lambda o: column(o, "volume", "posts").update(sourceField="account"),
    ),
    (
        "an operation that we do not know",
        "field-type",
        lambda o: column(o, "total-engagement", "total").update(operationType="median"),
    ),
    (
        "words that are called numbers",
        "data-type",
        lambda o: column(o, "languages", "language").update(dataType="number"),
    ),
    (
        "a number that is called a group",
        "data-type",
        lambda o: column(o, "post-count", "posts").update(isBucketed=True),
    ),
    (
        "an order without a column",
        "column-order",
        lambda o: layer(o, "volume")["columnOrder"].pop(),
    ),
    (
        "an order with one column twice",
        "column-order",
        lambda o: layer(o, "volume")["columnOrder"].append("posts"),
    ),
    (
        "a number before a group",
        "column-order",
        lambda o: layer(o, "volume").update(columnOrder=["language", "posts", "time"]),
    ),
    (
        "sorted by no column",
        "order-by",
        lambda o: column(o, "volume", "language")["params"]["orderBy"].update(columnId="x"),
    ),
    (
        "sorted by a group",
        "order-by",
        lambda o: column(o, "volume", "language")["params"]["orderBy"].update(columnId="time"),
    ),
    (
        "values without an order",
        "form",
        lambda o: column(o, "volume", "language")["params"].pop("orderBy"),
    ),
    # charts
    (
        "bars of no column",
        "accessor",
        lambda o: chart(o, "volume")["layers"][0].update(accessors=["x"]),
    ),
    (
        "a time axis of no column",
        "accessor",
        lambda o: chart(o, "volume")["layers"][0].update(xAccessor="x"),
    ),
    (
        "a split by a number",
        "accessor",
        lambda o: chart(o, "volume")["layers"][0].update(splitAccessor="posts"),
    ),
    (
        "a column that is not drawn",
        "accessor",
        lambda o: chart(o, "volume")["layers"][0].pop("splitAccessor"),
    ),
    (
        "an axis for no column",
        "accessor",
        lambda o: chart(o, "engagement-over-time")["layers"][0]["yConfig"][0].update(
            forAccessor="x"
        ),
    ),
    (
        "slices of no column",
        "accessor",
        lambda o: chart(o, "languages")["layers"][0].update(primaryGroups=["x"]),
    ),
    (
        "slices as large as no column",
        "accessor",
        lambda o: chart(o, "languages")["layers"][0].update(metrics=["x"]),
    ),
    (
        "a tile of no column",
        "accessor",
        lambda o: chart(o, "post-count").update(metricAccessor="x"),
    ),
    (
        "a table of no column",
        "accessor",
        lambda o: chart(o, "active-accounts")["columns"].append({"columnId": "x"}),
    ),
    (
        "a cloud of no column",
        "accessor",
        lambda o: chart(o, "hashtag-cloud").update(tagAccessor="x"),
    ),
    (
        "a cloud of numbers, as large as words",
        "accessor",
        lambda o: chart(o, "hashtag-cloud").update(tagAccessor="posts", valueAccessor="hashtag"),
    ),
    ("a chart of no layer", "layer", lambda o: chart(o, "post-count").update(layerId="x")),
    (
        "a chart that we do not know",
        "form",
        lambda o: panel(o, "volume")["attributes"].update(visualizationType="lnsHeatmap"),
    ),
    # tables of documents
    (
        "a document's member that is not there",
        "field-unknown",
        lambda o: panel(o, "top-posts")["attributes"]["columns"].append("text"),
    ),
    (
        "documents sorted by what is not there",
        "field-unknown",
        lambda o: panel(o, "top-posts")["attributes"].update(sort=[["score", "desc"]]),
    ),
    (
        "documents sorted by text",
        "field-type",
        lambda o: panel(o, "top-posts")["attributes"].update(sort=[["content", "desc"]]),
    ),
    # the dashboard
    ("a member that Kibana refuses", "form", lambda o: dashboard(o).update(color="red")),
    ("panels that are no JSON", "form", lambda o: dashboard(o).update(panelsJSON="no")),
    ("options that are no JSON", "form", lambda o: dashboard(o).update(optionsJSON="[")),
    (
        "two panels in one place",
        "grid-overlap",
        lambda o: grid(o, lambda p: p[1]["gridData"].update(x=11)),
    ),
    (
        "one panel below another's top",
        "grid-overlap",
        lambda o: grid(o, lambda p: p[4]["gridData"].update(y=4)),
    ),
    (
        "a panel beyond the right edge",
        "grid-outside",
        lambda o: grid(o, lambda p: p[-1]["gridData"].update(w=49)),
    ),
    (
        "a panel beyond the top",
        "grid-outside",
        lambda o: grid(o, lambda p: p[0]["gridData"].update(y=-1)),
    ),
    (
        "a panel of no size",
        "grid-outside",
        lambda o: grid(o, lambda p: p[0]["gridData"].update(h=0)),
    ),
    (
        "two panels of one name",
        "panel-index",
        lambda o: grid(o, lambda p: p.append(copy.deepcopy(p[0]))),
    ),
    (
        "a place of another name",
        "panel-index",
        lambda o: grid(o, lambda p: p[0]["gridData"].update(i="x")),
    ),
    (
        "a control of what is not there",
        "field-unknown",
        lambda o: controls(
            o, lambda c: c["control-hashtags"]["explicitInput"].update(fieldName="tag")
        ),
    ),
    (
        "a control of text",
        "field-type",
        lambda o: (
            get(o, "mastodon-live")["references"][-1].update(id="mastodon-engagement"),
            controls(
                o, lambda c: c["control-hashtags"]["explicitInput"].update(fieldName="content")
            ),
        ),
    ),
    (
        "a control without a data view",
        "reference-missing",
        lambda o: get(o, "mastodon-live")["references"].pop(),
    ),
    (
        "controls that begin at 1",
        "control",
        lambda o: controls(o, lambda c: c["control-language"].update(order=2)),
    ),
    (
        "a control under another name",
        "control",
        lambda o: controls(o, lambda c: c["control-language"]["explicitInput"].update(id="x")),
    ),
    (
        "what controls ignore is no JSON",
        "form",
        lambda o: dashboard(o)["controlGroupInput"].update(ignoreParentSettingsJSON=""),
    ),
]


@pytest.mark.parametrize("space", ["", "news"])
def test_the_dashboard_has_no_problem(space: str) -> None:
    assert lint(saved_objects(LIVE, space)) == ()


def test_the_dashboard_of_a_prefix_has_no_problem_on_its_indices() -> None:
    objects = saved_objects(LIVE, "", "team-a-")
    prefixed = [attrs.evolve(index, name=f"team-a-{index.name}") for index in INDICES]
    assert lint(objects, prefixed) == ()
    assert {each.rule for each in lint(objects)} >= {"index"}


@pytest.mark.parametrize(("what", "rule", "break_it"), BROKEN, ids=[each[0] for each in BROKEN])
def test_a_broken_object_is_found(what: str, rule: Rule, break_it: Break) -> None:
    objects = copy.deepcopy(list(GOOD))
    break_it(objects)
    problems = lint(objects)
    assert rule in {each.rule for each in problems}, what
    assert all(str(each).startswith(f"{each.object}: {each.rule}: ") for each in problems)


def test_every_rule_is_broken_by_some_test() -> None:
    assert {rule for _, rule, _ in BROKEN} == set(Rule.__args__)


def test_fields_are_those_of_the_indices_that_are_given() -> None:
    (first, second) = INDICES
    problems = lint(GOOD, [second])
    assert {each.rule for each in problems} == {"index", "field-unknown"}
    assert lint(GOOD, [first, second]) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [so_far]
    for key, each in inner:
        found += paths(each, (*so_far, key)) if isinstance(each, (dict, list)) else [(*so_far, key)]
    return found


PATHS = [path for path in paths(list(GOOD)) if path]


@given(st.sampled_from(PATHS), JSON)
def test_it_never_raises_whatever_a_member_is(path: tuple[Any, ...], value: Any) -> None:
    objects: Any = copy.deepcopy(list(GOOD))
    holder = objects
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    lint(objects)


@given(st.lists(JSON, max_size=3))
def test_it_never_raises_whatever_an_object_is(objects: list[Any]) -> None:
    assert len(lint(objects)) >= len(objects)
