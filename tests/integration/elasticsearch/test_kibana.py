"""Each panel's numbers, asked of a real Elasticsearch, against the same counted in plain Python.

There is no Kibana here. What it would ask is made from the saved objects as its public source makes
it: terms in the order of their number, the rest by a second request, steps of 30 s in 15 minutes.
So this shows that the panels ask for the right thing, not that Kibana draws them.
"""

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import mean
from typing import Any

import attrs
import pytest
import requests

from mastostream import Post, account_name, decode, encode, engagement_record, hashtag_record
from mastostream.core.languages import stated_language
from mastostream.core.models import Stamp
from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS
from mastostream.dashboards.kibana import LIVE, saved_objects
from mastostream.dashboards.kibana.kibana_api import Kibana
from mastostream.exceptions import ConfigurationError
from mastostream.services import ElasticsearchServer
from mastostream.sinks.elasticsearch.definitions import definitions, mapping
from mastostream.testing.simulator import generate_statuses

pytestmark = pytest.mark.campaign

Json = dict[str, Any]
Row = tuple[Any, ...]
OBJECTS = {each["id"].removeprefix("mastodon-live-"): each for each in saved_objects(LIVE)}
STEP_MS = 30_000
"""What Kibana takes for ``auto`` in a span of 15 minutes: ``calcAutoIntervalNear(50, span)``."""


def generated() -> tuple[Post, ...]:
    """A few hundred posts, read minutes after they were written, some of them of no language."""
    posts = []
    for number, status in enumerate(generate_statuses(400, posts_per_s=0.5)):
        post = decode(status)
        assert isinstance(post, Post)
        observed_at = post.created_at + timedelta(seconds=number)
        stamp = Stamp(key=post.id, instance="social.example", observed_at=observed_at)
        language = None if number % 20 == 0 else post.language
        posts.append(attrs.evolve(post, mastostream=stamp, language=language))
    return tuple(posts)


POSTS = generated()
SINCE = POSTS[0].created_at.replace(second=0, microsecond=0)
UNTIL = SINCE + timedelta(minutes=15)


@attrs.frozen
class Asked:
    """Two indices that hold the posts, under names of this run."""

    url: str
    names: Mapping[str, str]

    def search(self, index: str, body: Json) -> Json:
        answer = requests.post(f"{self.url}/{self.names[index]}/_search", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found


@pytest.fixture(scope="module")
def asked(elasticsearch_server: ElasticsearchServer) -> Iterator[Asked]:
    url = elasticsearch_server.url
    run = uuid.uuid4().hex[:8]
    names = {name: f"kibana-{run}-{name}" for name in (ENGAGEMENT, HASHTAGS)}
    records = {ENGAGEMENT: engagement_record, HASHTAGS: hashtag_record}
    for definition in definitions():
        if definition.name in names:
            settings = {"mappings": mapping(definition), "settings": {"number_of_shards": 1}}
            made = requests.put(f"{url}/{names[definition.name]}", json=settings, timeout=30)
            assert made.status_code == 200, made.text
    for name, record in records.items():
        lines = []
        for post in POSTS:
            lines += [json.dumps({"create": {"_id": post.key}}).encode(), encode(record(post))]
        done = requests.post(
            f"{url}/{names[name]}/_bulk?refresh=true",
            data=b"\n".join(lines) + b"\n",
            headers={"Content-Type": "application/x-ndjson"},
            timeout=30,
        )
        assert done.json()["errors"] is False, done.text
    yield Asked(url, names)
    for name in names.values():
        requests.delete(f"{url}/{name}", timeout=30)


# what Kibana would ask


@attrs.frozen
class Layer:
    """A Lens layer and the index that it asks."""

    index: str
    order: Sequence[str]
    columns: Mapping[str, Json]

    @classmethod
    def of(cls, panel: str) -> "Layer":
        lens = OBJECTS[panel]
        layer = lens["attributes"]["state"]["datasourceStates"]["formBased"]["layers"]["layer"]
        (reference,) = lens["references"]
        return cls(reference["id"], layer["columnOrder"], layer["columns"])

    @property
    def groups(self) -> list[str]:
        return [name for name in self.order if self.columns[name]["isBucketed"]]

    @property
    def numbers(self) -> list[str]:
        return [name for name in self.order if not self.columns[name]["isBucketed"]]


METRICS = {"average": "avg", "max": "max", "sum": "sum", "unique_count": "cardinality"}


def aggregations(layer: Layer, groups: Sequence[str]) -> Json:
    """The nested aggregations of these groups, outermost first, around the numbers."""
    if not groups:
        numbers = [
            name for name in layer.numbers if layer.columns[name]["operationType"] != "count"
        ]
        return {
            name: {METRICS[column["operationType"]]: {"field": column["sourceField"]}}
            for name in numbers
            if (column := layer.columns[name])
        }
    name, *inner = groups
    bucket = bucket_of(layer, layer.columns[name])
    nested = aggregations(layer, inner)
    return {name: bucket | ({"aggs": nested} if nested else {})}


def bucket_of(layer: Layer, column: Json) -> Json:
    field, params = column["sourceField"], column["params"]
    if column["operationType"] == "date_histogram":
        assert params["interval"] == "auto"
        bounds = {"min": ms(SINCE), "max": ms(UNTIL)}
        return {
            "date_histogram": {
                "field": field,
                "fixed_interval": f"{STEP_MS // 1000}s",
                "min_doc_count": 0 if params["includeEmptyRows"] else 1,
                "extended_bounds": bounds,
            }
        }
    if column["operationType"] == "range":
        listed = [
            {k: v for k, v in each.items() if k != "label" and v is not None}
            for each in params["ranges"]
        ]
        return {"range": {"field": field, "ranges": listed}}
    assert column["operationType"] == "terms"
    by = params["orderBy"]["columnId"]
    by = "_count" if layer.columns[by]["operationType"] == "count" else by
    terms = {"field": field, "size": params["size"], "order": {by: params["orderDirection"]}}
    if params["missingBucket"]:
        terms["missing"] = "__missing__"
    return {"terms": terms}


def within(filters: Sequence[Json]) -> Json:
    span = {"gte": SINCE.isoformat(), "lte": UNTIL.isoformat()}
    return {"bool": {"filter": [{"range": {"created_at": span}}, *filters]}}


def rows(asked: Asked, panel: str, filters: Sequence[Json] = ()) -> list[Row]:
    """Return what a panel shows: a row for each innermost group, its keys and its numbers."""
    layer = Layer.of(panel)
    body = {"size": 0, "query": within(filters), "track_total_hits": True}
    found = asked.search(layer.index, body | {"aggs": aggregations(layer, layer.groups)})
    top = found.get("aggregations", {}) | {"doc_count": found["hits"]["total"]["value"]}
    if layer.groups and layer.columns[layer.groups[0]]["params"].get("otherBucket"):
        others = rest(asked, layer, filters, top[layer.groups[0]])
        top[layer.groups[0]]["buckets"] += others
    return list(flat(layer, layer.groups, top))


def rest(asked: Asked, layer: Layer, filters: Sequence[Json], terms: Json) -> list[Json]:
    """The second request, for what the first left out."""
    if not terms["sum_other_doc_count"]:
        return []
    name, *inner = layer.groups
    field = layer.columns[name]["sourceField"]
    keys = [bucket["key"] for bucket in terms["buckets"]]
    exists = [{"exists": {"field": field}}] if "__missing__" in keys else []
    shown = [{"match_phrase": {field: key}} for key in keys if key != "__missing__"]
    others = {"filters": {"others": {"bool": {"filter": exists, "must_not": shown}}}}
    aggs = {"rest": {"filters": others, "aggs": aggregations(layer, inner)}}
    found = asked.search(layer.index, {"size": 0, "query": within(filters), "aggs": aggs})
    bucket: Json = found["aggregations"]["rest"]["buckets"]["others"]
    return [bucket | {"key": "__other__"}]


def flat(layer: Layer, groups: Sequence[str], level: Json) -> Iterator[Row]:
    if not groups:
        yield tuple(
            level["doc_count"]
            if layer.columns[name]["operationType"] == "count"
            else level[name]["value"]
            for name in layer.numbers
        )
        return
    name, *inner = groups
    for bucket in level[name]["buckets"]:
        for row in flat(layer, inner, bucket):
            yield (bucket["key"], *row)


def ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


# the same in plain Python

Choice = Callable[[Post], bool]
CHOICES: dict[str, tuple[Sequence[Json], Choice]] = {
    "all": ((), lambda _: True),
    "language": (
        ({"match_phrase": {"language": "en"}},),
        lambda post: stated_language(post) == "en",
    ),
    "hashtag": (
        ({"match_phrase": {"hashtags": "news"}},),
        lambda post: "news" in hashtag_record(post).hashtags,
    ),
    "both": (
        ({"match_phrase": {"language": "en"}}, {"match_phrase": {"hashtags": "news"}}),
        lambda post: stated_language(post) == "en" and "news" in hashtag_record(post).hashtags,
    ),
}
chosen = pytest.mark.parametrize("choice", CHOICES)


def posts_of(choice: str) -> list[Post]:
    found = [
        post for post in POSTS if SINCE <= post.created_at <= UNTIL and CHOICES[choice][1](post)
    ]
    assert found
    return found


def scores(posts: Sequence[Post]) -> list[int]:
    return [engagement_record(post).engagement_score for post in posts]


def most(counts: Counter[str], size: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]


def slot(post: Post) -> int:
    return ms(post.created_at) // STEP_MS * STEP_MS


def languages_of(posts: Sequence[Post], size: int = 6) -> Callable[[Post], str]:
    """Return the group of each post: a frequent language, none, or the rest."""
    counts = Counter(stated_language(post) or "__missing__" for post in posts)
    named = {language for language, _ in most(counts, size)}
    return lambda post: (
        language if (language := stated_language(post) or "__missing__") in named else "__other__"
    )


def test_the_posts_are_worth_counting() -> None:
    posts = posts_of("all")
    assert len(posts) > 200
    assert len(posts) < len(POSTS), "some have to lie outside of the span"
    assert len({stated_language(post) for post in posts}) > 8
    assert len(set(scores(posts))) > 10


@chosen
def test_posts(asked: Asked, choice: str) -> None:
    assert rows(asked, "post-count", CHOICES[choice][0]) == [(len(posts_of(choice)),)]


@chosen
def test_accounts(asked: Asked, choice: str) -> None:
    accounts = {account_name(post) for post in posts_of(choice)}
    assert rows(asked, "account-count", CHOICES[choice][0]) == [(len(accounts),)]


@chosen
def test_volume(asked: Asked, choice: str) -> None:
    posts = posts_of(choice)
    group = languages_of(posts)
    expected = Counter((group(post), slot(post)) for post in posts)
    found = rows(asked, "volume", CHOICES[choice][0])
    assert {(language, time): count for language, time, count in found if count} == expected
    times = defaultdict(set)
    for language, time, _ in found:
        times[language].add(time)
    for language in times.keys() - {"__other__"}:
        assert times[language] == set(range(ms(SINCE), ms(UNTIL) + 1, STEP_MS)), "gaps are zeros"


@chosen
def test_languages(asked: Asked, choice: str) -> None:
    posts = posts_of(choice)
    expected = Counter(map(languages_of(posts), posts))
    found = rows(asked, "languages", CHOICES[choice][0])
    assert dict(found) == expected
    assert sum(count for _, count in found) == len(posts), "shares of a whole"


@chosen
@pytest.mark.parametrize(("panel", "size"), [("top-hashtags", 15), ("hashtag-cloud", 50)])
def test_hashtags(asked: Asked, choice: str, panel: str, size: int) -> None:
    counts = Counter(tag for post in posts_of(choice) for tag in hashtag_record(post).hashtags)
    assert rows(asked, panel, CHOICES[choice][0]) == most(counts, size)


@chosen
def test_active_accounts(asked: Asked, choice: str) -> None:
    counts = Counter(account_name(post) for post in posts_of(choice))
    assert rows(asked, "active-accounts", CHOICES[choice][0]) == most(counts, 20)


ON_ENGAGEMENT = pytest.mark.parametrize("choice", ["all", "language"])


@ON_ENGAGEMENT
def test_total_engagement(asked: Asked, choice: str) -> None:
    (found,) = rows(asked, "total-engagement", CHOICES[choice][0])
    assert found == (sum(scores(posts_of(choice))),)


@ON_ENGAGEMENT
def test_average_engagement(asked: Asked, choice: str) -> None:
    ((found,),) = rows(asked, "average-engagement", CHOICES[choice][0])
    assert found == pytest.approx(mean(scores(posts_of(choice))))


@ON_ENGAGEMENT
def test_engagement_over_time(asked: Asked, choice: str) -> None:
    by_time = defaultdict(list)
    for post in posts_of(choice):
        by_time[slot(post)].append(post)
    found = rows(asked, "engagement-over-time", CHOICES[choice][0])
    assert [time for time, *_ in found] == list(range(ms(SINCE), ms(UNTIL) + 1, STEP_MS))
    for time, average, highest in found:
        if posts := by_time[time]:
            assert (average, highest) == (pytest.approx(mean(scores(posts))), max(scores(posts)))
        else:
            assert (average, highest) == (None, None), "a gap, not 0"


@ON_ENGAGEMENT
def test_engagement_ranges(asked: Asked, choice: str) -> None:
    found = [count for _, count in rows(asked, "engagement-ranges", CHOICES[choice][0])]
    starts = [0, 1, 5, 20, 100, 500]
    ends = [*starts[1:], 10**12]
    all_scores = scores(posts_of(choice))
    expected = [
        sum(start <= score < end for score in all_scores)
        for start, end in zip(starts, ends, strict=True)
    ]
    assert found == expected
    assert sum(found) == len(all_scores)


def top_posts(asked: Asked, filters: Sequence[Json]) -> list[Json]:
    search = OBJECTS["top-posts"]["attributes"]
    sort = [{field: {"order": order}} for field, order in search["sort"]]
    body = {"size": 500, "query": within(filters), "sort": sort, "_source": search["columns"]}
    hits: list[Json] = asked.search(ENGAGEMENT, body)["hits"]["hits"]
    return hits


@ON_ENGAGEMENT
def test_top_posts(asked: Asked, choice: str) -> None:
    posts = posts_of(choice)
    hits = top_posts(asked, CHOICES[choice][0])
    assert [hit["_source"]["engagement_score"] for hit in hits] == sorted(
        scores(posts), reverse=True
    )
    by_key = {post.key: engagement_record(post) for post in posts}
    for hit in hits:
        record = by_key[hit["_id"]]
        assert hit["_source"] == {
            "url": record.url,
            "account": record.account,
            "content": record.content,
            "engagement_score": record.engagement_score,
        }


def test_a_chosen_hashtag_empties_the_panels_of_engagement(asked: Asked) -> None:
    """As the guide says: their documents have no hashtags."""
    filters = CHOICES["hashtag"][0]
    assert rows(asked, "average-engagement", filters) == [(None,)]
    assert {count for _, count in rows(asked, "engagement-ranges", filters)} == {0}
    assert top_posts(asked, filters) == []


def test_a_query_for_both_indices_reaches_all_panels(asked: Asked) -> None:
    """``hashtags: "python" or content: "python"``, as the guide says."""
    either = [{"match_phrase": {name: "python"}} for name in ("hashtags", "content")]
    query = {"bool": {"should": either, "minimum_should_match": 1}}
    tagged = [post for post in posts_of("all") if "python" in hashtag_record(post).hashtags]
    assert rows(asked, "post-count", [query]) == [(len(tagged),)]
    found = {hit["_id"] for hit in top_posts(asked, [query])}
    assert found == {post.key for post in posts_of("all") if "python" in post.content}
    assert found


def test_what_a_control_offers(asked: Asked) -> None:
    """Options are values of the field, the most frequent first, narrowed by those to the left."""
    dashboard = OBJECTS["mastodon-live"]["attributes"]
    controls = json.loads(dashboard["controlGroupInput"]["panelsJSON"])
    chosen_language: list[Json] = []
    for control in sorted(controls.values(), key=lambda each: each["order"]):
        field = control["explicitInput"]["fieldName"]
        terms = {"options": {"terms": {"field": field, "size": 10}}}
        body = {"size": 0, "query": within(chosen_language), "aggs": terms}
        buckets = asked.search(HASHTAGS, body)["aggregations"]["options"]["buckets"]
        found = [(bucket["key"], bucket["doc_count"]) for bucket in buckets]
        if field == "language":
            assert found == most(Counter(p.language for p in posts_of("all") if p.language), 10)
            chosen_language = list(CHOICES["language"][0])
        else:
            posts = posts_of("language")
            assert found == most(
                Counter(tag for post in posts for tag in hashtag_record(post).hashtags), 10
            )


def test_elasticsearchs_own_address_is_no_kibana(elasticsearch_server: ElasticsearchServer) -> None:
    """A mistake that is easy to make: port 9200 for 5601."""
    with (
        Kibana(elasticsearch_server.url) as client,
        pytest.raises(ConfigurationError, match="not as Kibana does"),
    ):
        client.version()
