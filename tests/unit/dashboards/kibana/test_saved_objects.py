"""The saved objects of the dashboard: what must hold of them, whatever they show."""

import json
import re
from typing import Any

import pytest

from mastostream.core.indices import INDICES
from mastostream.dashboards.kibana import LIVE, dashboard_id, saved_objects, to_ndjson
from mastostream.dashboards.kibana.columns import ranges
from mastostream.dashboards.kibana.dashboard import Documents

GOOD = saved_objects(LIVE)
DASHBOARD = GOOD[-1]["attributes"]


def of_type(kind: str) -> list[dict[str, Any]]:
    return [each for each in GOOD if each["type"] == kind]


def test_equal_calls_give_the_same_bytes() -> None:
    assert to_ndjson(saved_objects(LIVE)) == to_ndjson(saved_objects(LIVE))


def test_a_file_is_one_json_object_a_line_in_ascii() -> None:
    text = to_ndjson(GOOD)
    assert text.isascii()
    assert text.endswith("}\n")
    assert [json.loads(line) for line in text.splitlines()] == list(GOOD)


def test_data_views_come_first_and_the_dashboard_last() -> None:
    kinds = [each["type"] for each in GOOD]
    assert kinds[:2] == ["index-pattern"] * 2
    assert kinds[-1] == "dashboard"
    assert kinds.count("dashboard") == 1


def test_nothing_says_when_or_by_whom_it_was_made() -> None:
    members = {"type", "id", "attributes", "references", "managed"}
    members |= {"coreMigrationVersion", "typeMigrationVersion"}
    assert all(each.keys() == members for each in GOOD)


def test_everything_may_be_changed_in_kibana() -> None:
    assert not any(each["managed"] for each in GOOD)


def test_each_index_has_a_data_view_with_its_time() -> None:
    views = {each["attributes"]["title"]: each["attributes"] for each in of_type("index-pattern")}
    assert views.keys() == {index.name for index in INDICES}
    for index in INDICES:
        assert views[index.name]["timeFieldName"] == index.time_field
        assert index.fields[index.time_field] == "date"


def test_addresses_of_posts_are_links() -> None:
    (view, _) = of_type("index-pattern")
    assert json.loads(view["attributes"]["fieldFormatMap"]) == {"url": {"id": "url"}}


def test_it_shows_the_last_15_minutes_and_asks_every_10_seconds() -> None:
    assert DASHBOARD["timeRestore"] is True
    assert (DASHBOARD["timeFrom"], DASHBOARD["timeTo"]) == ("now-15m", "now")
    assert DASHBOARD["refreshInterval"] == {"pause": False, "value": 10_000}


def test_it_shows_what_was_asked_for() -> None:
    charts = {
        each["attributes"]["title"]: each["attributes"]["visualizationType"]
        for each in of_type("lens")
    }
    assert charts == {
        "Posts": "lnsMetric",
        "Accounts": "lnsMetric",
        "Total engagement": "lnsMetric",
        "Average engagement": "lnsMetric",
        "Posts over time by language": "lnsXY",
        "Languages": "lnsPie",
        "Top hashtags": "lnsXY",
        "Hashtag cloud": "lnsTagcloud",
        "Most active accounts": "lnsDatatable",
        "Engagement over time": "lnsXY",
        "Posts by engagement": "lnsXY",
    }
    (search,) = of_type("search")
    assert set(search["attributes"]["columns"]) == {"url", "account", "content", "engagement_score"}
    assert search["attributes"]["sort"] == [["engagement_score", "desc"]]


def test_every_panel_says_which_controls_it_follows() -> None:
    for place in LIVE.places:
        panel = place.panel
        follows_both = set(panel.index.fields) >= {control.field for control in LIVE.controls}
        expected = "both controls" if follows_both else "Follows the language."
        assert expected in panel.description, panel.name
    fields = [control.field for control in LIVE.controls]
    assert fields == ["language", "hashtags"]
    assert all(set(control.index.fields) >= set(fields) for control in LIVE.controls)


def test_what_both_indices_can_answer_follows_both_controls() -> None:
    """A panel is on the index without hashtags only where it needs a field that is only there."""
    (engagement, hashtags) = INDICES
    for place in LIVE.places:
        panel = place.panel
        fields = (
            set(panel.fields)
            if isinstance(panel, Documents)
            else {column.field for column in panel.columns.values()} - {"___records___"}
        )
        if panel.index is engagement:
            assert fields - hashtags.fields.keys(), panel.name


def test_a_filter_that_is_not_of_their_index_does_not_empty_the_controls() -> None:
    ignored = json.loads(DASHBOARD["controlGroupInput"]["ignoreParentSettingsJSON"])
    assert ignored == {
        "ignoreFilters": True,
        "ignoreQuery": True,
        "ignoreTimerange": False,
        "ignoreValidations": True,
    }


@pytest.mark.parametrize("space", ["", "default"])
def test_the_default_space_is_not_part_of_ids(space: str) -> None:
    assert saved_objects(LIVE, space) == GOOD
    assert dashboard_id(LIVE, space) == "mastodon-live"


def test_each_space_has_ids_of_its_own() -> None:
    """An id is in one space only: in a second, Kibana would make up others."""
    news = saved_objects(LIVE, "news")
    assert dashboard_id(LIVE, "news") == news[-1]["id"] == "mastodon-live-news"
    ids = {each["id"] for each in news}
    assert not ids & {each["id"] for each in GOOD}
    assert {each["id"] for one in news for each in one["references"]} < ids
    assert [each["attributes"].get("title") for each in news] == [
        each["attributes"].get("title") for each in GOOD
    ]


@pytest.mark.parametrize("space", ["", "news"])
def test_each_prefix_has_objects_and_indices_of_its_own(space: str) -> None:
    plain, team = saved_objects(LIVE, space), saved_objects(LIVE, space, "team-a-")
    assert saved_objects(LIVE, space, "") == plain
    ids = {each["id"] for each in team}
    assert ids == {f"team-a-{each['id']}" for each in plain}
    assert {each["id"] for one in team for each in one["references"]} < ids
    assert dashboard_id(LIVE, space, "team-a-") == team[-1]["id"]
    assert team[-1]["attributes"]["title"] == "Mastodon live (team-a-)"
    views = [each["attributes"] for each in team if each["type"] == "index-pattern"]
    assert [view["title"] for view in views] == [f"team-a-{index.name}" for index in INDICES]
    assert [view["name"] for view in views] == [view["title"] for view in views]


def test_ids_are_names_that_can_stand_in_an_address() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+", each["id"]) for each in saved_objects(LIVE, "a-1"))


def test_ranges_leave_no_whole_number_out_and_none_twice() -> None:
    column = ranges("engagement_score", "Engagement", (0, 1, 5, 20))
    listed: Any = column.params["ranges"]
    for number in range(40):
        found = [each for each in listed if each["from"] <= number < (each["to"] or 10**9)]
        assert len(found) == 1, number
    assert [each["label"] for each in listed] == ["0", "1 to 4", "5 to 19", "20 and more"]
