"""The index on a real Elasticsearch, and what it does when that fails."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from elasticsearch import Elasticsearch

from mastostream import Account, Post, Stamp, Tag, encode, engagement_record, hashtag_record
from mastostream.config import ElasticsearchSettings, Settings
from mastostream.core.dead_letters import dead_letter_of
from mastostream.core.topic_names import DEAD_LETTERS, ENGAGEMENT, HASHTAGS
from mastostream.exceptions import ConfigurationError, MastostreamError, RetriableError
from mastostream.indexer import Batching, Indexer
from mastostream.log.sqlite import SqliteLogReader, SqliteLogWriter
from mastostream.ports.clock import SystemClock
from mastostream.ports.index import Document
from mastostream.ports.log import NewRecord
from mastostream.runner import Runner, run_until_idle
from mastostream.services import ElasticsearchServer
from mastostream.sinks.elasticsearch import (
    ElasticsearchIndex,
    ElasticsearchIndexReader,
    SetupStep,
    set_up,
)
from mastostream.sinks.elasticsearch.definitions import TOMBSTONES, definitions
from mastostream.sinks.sqlite import SqliteIndex, SqliteIndexReader
from mastostream.testing.conformance.index import IndexConformance, IndexUnderTest, new_id
from mastostream.testing.temporary import temporary_server
from mastostream.wiring import indexer

BIN = Path(sys.executable).parent
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
PATIENCE_S = 120.0


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def clear(client: Elasticsearch) -> None:
    for definition in definitions():
        for index in client.indices.get(index=f"{definition.name}*", expand_wildcards="all"):
            client.indices.delete(index=index)
        client.options(ignore_status=404).indices.delete_index_template(name=definition.name)


@contextmanager
def admin(url: str, **options: Any) -> Iterator[Elasticsearch]:
    """A client to look and to do harm with."""
    client = Elasticsearch(url, request_timeout=60, **options)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(elasticsearch_server: ElasticsearchServer) -> Iterator[Elasticsearch]:
    """An empty server."""
    with admin(elasticsearch_server.url) as client:
        clear(client)
        yield client
        clear(client)


@pytest.fixture
def settings(elasticsearch_server: ElasticsearchServer) -> ElasticsearchSettings:
    return ElasticsearchSettings(hosts=(elasticsearch_server.url,), batch_documents=100)


@pytest.fixture
def index(client: Elasticsearch, settings: ElasticsearchSettings) -> Iterator[ElasticsearchIndex]:
    writer = ElasticsearchIndex(settings, {}, clock=SystemClock())
    yield writer
    writer.close()


def find(client: Elasticsearch, index_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    documents = client.mget(index=index_name, ids=list(ids))["docs"] if ids else []
    return {each["_id"]: each["_source"] for each in documents if each.get("found")}


class TestElasticsearchIndex(IndexConformance):
    @pytest.fixture
    def index(
        self, client: Elasticsearch, settings: ElasticsearchSettings
    ) -> Iterator[IndexUnderTest]:
        writer = ElasticsearchIndex(settings, {}, clock=SystemClock())
        yield IndexUnderTest(writer=writer, find=lambda name, ids: find(client, name, ids))
        writer.close()


def post(number: int, **members: Any) -> Post:
    usual = {
        "id": str(number),
        "created_at": NOW - timedelta(seconds=number % 50),
        "account": Account(acct=f"a{number % 7}"),
        "language": ("en", "de-AT", "DE", None)[number % 4],
        "favourites_count": number % 90,
        "tags": (Tag(name="News"), Tag(name=f"tag{number % 3}")),
        "mastostream": Stamp(key=str(number), observed_at=NOW),
    }
    return Post(**(usual | members))


def document(id_: str, version: int, **members: Any) -> Document:
    return Document(ENGAGEMENT, id_, version, encode(engagement_record(post(1, **members))))


def record(number: int, **members: Any) -> NewRecord:
    one = post(number, **members)
    return NewRecord(ENGAGEMENT, one.key, encode(engagement_record(one)))


# What users find


def test_documents_are_found_as_users_expect(
    client: Elasticsearch, index: ElasticsearchIndex
) -> None:
    for number in range(30):
        one = post(number, content=f"<p>Hello number {number}</p>")
        index.write(
            [
                Document(ENGAGEMENT, one.key, 1, encode(engagement_record(one))),
                Document(HASHTAGS, one.key, 1, encode(hashtag_record(one))),
            ]
        )
    client.indices.refresh(index="mastodon-*")
    found = client.get(index="mastodon-engagement", id="7")
    assert found["_version"] == 1
    assert found["_source"]["engagement_score"] == 7
    before = datetime.now(UTC) - timedelta(minutes=5)
    assert datetime.fromisoformat(found["_source"]["indexed_at"]) > before
    assert client.count(index="mastodon-engagement")["count"] == 30
    words = client.search(index="mastodon-engagement", query={"match": {"content": "13"}})
    assert [hit["_id"] for hit in words["hits"]["hits"]] == ["13"]
    tagged = client.count(index="mastodon-hashtags", query={"term": {"hashtags": "tag1"}})
    assert tagged["count"] == 10
    assert not [name for name in client.indices.get(index="*") if "tombstones" in name]


def test_a_summary_is_that_of_the_index_in_a_file(
    client: Elasticsearch,
    index: ElasticsearchIndex,
    settings: ElasticsearchSettings,
    tmp_path: Path,
) -> None:
    """Each hashtag is used once a post here, where both count the same."""
    documents = []
    for number in range(300):
        one = post(number, created_at=NOW - timedelta(seconds=number))
        documents += [
            Document(ENGAGEMENT, one.key, 1, encode(engagement_record(one))),
            Document(HASHTAGS, one.key, 1, encode(hashtag_record(one))),
        ]
    documents += [Document(name, "5", 2, None) for name in (ENGAGEMENT, HASHTAGS)]
    documents.append(Document(ENGAGEMENT, "foreign", 1, b'{"created_at":"2024-05-01T11:59:50Z"}'))
    index.write(documents)
    client.indices.refresh(index="mastodon-*")
    path = tmp_path / "index.sqlite3"
    file = SqliteIndex(path)
    file.write(documents)
    readers = (ElasticsearchIndexReader(settings, {}), SqliteIndexReader(path))
    for since, until_, interval_s, most in (
        (NOW - timedelta(seconds=205), NOW, 10, 12),
        (NOW - timedelta(seconds=101), NOW - timedelta(seconds=7), 60, 2),
        (NOW + timedelta(hours=1), NOW + timedelta(hours=2), 600, 5),
    ):
        ours, theirs = (each.summary(since, until_, interval_s, most) for each in readers)
        assert attrs.asdict(ours) == attrs.asdict(theirs)
    file.close()
    for reader in readers:
        reader.close()
        reader.close()


def test_without_an_index_a_summary_comes_later(
    client: Elasticsearch, settings: ElasticsearchSettings
) -> None:
    reader = ElasticsearchIndexReader(settings, {})
    with pytest.raises(RetriableError, match="--setup"):
        reader.summary(NOW, NOW + timedelta(hours=1), 10, 5)
    reader.close()


# What is refused, and what is not


def test_only_what_does_not_fit_is_refused(
    client: Elasticsearch, index: ElasticsearchIndex
) -> None:
    taken = {
        "long": b'{"url":"https://x.example/' + b"x" * 100_000 + b'"}',
        "many": json.dumps({"content": "word " * 2_000_000}).encode(),
        "year 1": b'{"created_at":"0001-01-01T00:00:00Z"}',
        "year 9999": b'{"edited_at":"9999-12-31T23:59:59.999999Z"}',
        "nul\x00": b'{"key":"nul\\u0000"}',
        "k" * 512: b'{"key":"k"}',
    }
    refused = {
        "unknown": (b'{"surprise":1}', "strict_dynamic_mapping_exception"),
        "text": (b'{"favourites_count":"5"}', "favourites_count"),
        "decimals": (b'{"favourites_count":1.5}', "favourites_count"),
        "date": (b'{"created_at":"yesterday"}', "created_at"),
        "bytes": (b'{"content":"\xff"}', "UTF-8"),
        "twice": (b'{"indexed_at":"2024-01-01T00:00:00Z"}', "Duplicate"),
        "deep": (b'{"content":' + b"[" * 100_000, "depth"),
        "k" * 513: (b'{"key":"k"}', "512"),
        "tail": (b'{"key":"k"} {"key":"l"}', "Malformed"),
    }
    bodies = {**taken, **{id_: body for id_, (body, _) in refused.items()}}
    documents = [Document(ENGAGEMENT, id_, 1, body) for id_, body in bodies.items()]
    refusals = {documents[each.position].id: each.reason for each in index.write(documents)}
    assert refusals.keys() == refused.keys()
    for id_, (_, told) in refused.items():
        assert told in refusals[id_]
        assert len(refusals[id_]) < 600
    assert find(client, ENGAGEMENT, list(taken)).keys() == taken.keys()
    client.indices.refresh(index=ENGAGEMENT)
    ignored = client.search(index=ENGAGEMENT, query={"exists": {"field": "_ignored"}})
    assert [(hit["_id"], hit["_ignored"]) for hit in ignored["hits"]["hits"]] == [("long", ["url"])]


def test_a_document_keeps_its_order_although_requests_are_sent_at_once(
    client: Elasticsearch, settings: ElasticsearchSettings
) -> None:
    writer = ElasticsearchIndex(attrs.evolve(settings, batch_documents=1), {}, clock=SystemClock())
    ids = [str(number) for number in range(50)]
    changes = [document(id_, 5, favourites_count=mark) for id_ in ids for mark in (1, 2, 3)]
    assert not writer.write(changes)
    writer.close()
    found = find(client, ENGAGEMENT, ids)
    assert {found[id_]["favourites_count"] for id_ in ids} == {3}


# What is deleted


def forgotten(client: Elasticsearch, id_: str) -> bool:
    """Whether Elasticsearch itself would take an older version of what was deleted."""
    answer = client.options(ignore_status=409).index(
        index=ENGAGEMENT,
        id=id_,
        version=1,
        version_type="external_gte",
        document={"key": id_},
        refresh=True,
    )
    return "error" not in answer


def test_a_late_older_version_stays_deleted_when_elasticsearch_has_forgotten_the_delete(
    client: Elasticsearch, index: ElasticsearchIndex
) -> None:
    control, id_ = new_id(), new_id()
    index.write([document(control, 1), document(id_, 1)])
    client.indices.put_settings(index=ENGAGEMENT, settings={"index.gc_deletes": "0s"})
    index.write([Document(ENGAGEMENT, each, 2, None) for each in (control, id_)])
    until(lambda: forgotten(client, control))
    assert find(client, ENGAGEMENT, [control]), "this is what would happen without tombstones"
    assert not index.write([document(id_, 1), document(id_, 2)])
    assert not find(client, ENGAGEMENT, [id_])
    assert not index.write([document(id_, 3)])
    assert find(client, ENGAGEMENT, [id_])


def test_a_deletion_that_was_cut_short_is_made_good(
    client: Elasticsearch, index: ElasticsearchIndex
) -> None:
    """As if the process had died between the tombstone and the delete: the log has it again."""
    index.write([document("a", 1)])
    client.index(
        index=TOMBSTONES, id="a", version=2, version_type="external_gte", document={"version": 2}
    )
    assert find(client, ENGAGEMENT, ["a"])
    index.write([Document(ENGAGEMENT, "a", 2, None)])
    assert not find(client, ENGAGEMENT, ["a"])


# Setting up


def states(steps: Sequence[SetupStep]) -> set[str]:
    return {step.state for step in steps}


def test_setting_up_again_changes_nothing(
    client: Elasticsearch, settings: ElasticsearchSettings, index: ElasticsearchIndex
) -> None:
    first = set_up(settings, {})
    assert [step.what for step in first if step.state == "created"] == [
        f"{kind} {name}{number}"
        for name in (ENGAGEMENT, HASHTAGS, TOMBSTONES)
        for kind, number in (("template", ""), ("index", "-000001"), ("alias", ""))
    ]
    before = client.indices.get(index="masto*", expand_wildcards="all").body
    assert states(set_up(settings, {})) == {"unchanged"}
    index.write([])
    assert client.indices.get(index="masto*", expand_wildcards="all").body == before


def test_settings_that_change_are_updated_or_said_to_differ(
    client: Elasticsearch, settings: ElasticsearchSettings
) -> None:
    set_up(settings, {})
    others = attrs.evolve(settings, refresh_s=0.5, replicas="0")
    updated = {step.what for step in set_up(others, {}) if step.state == "updated"}
    assert {f"template {ENGAGEMENT}", f"settings of {ENGAGEMENT}-000001"} <= updated
    found = client.indices.get_settings(index=ENGAGEMENT)[f"{ENGAGEMENT}-000001"]["settings"]
    assert found["index"]["refresh_interval"] == "500ms"
    assert (found["index"]["number_of_replicas"], found["index"]["auto_expand_replicas"]) == (
        "0",
        "false",
    )
    assert states(set_up(others, {})) == {"unchanged"}
    differs = [step for step in set_up(attrs.evolve(others, shards=2), {}) if step.advice]
    assert {step.state for step in differs} == {"differs"}
    assert all("number_of_shards is 1, not 2" in step.advice for step in differs)


def test_a_new_field_is_added_and_a_field_of_another_type_is_told(
    client: Elasticsearch, settings: ElasticsearchSettings, index: ElasticsearchIndex
) -> None:
    fields = {"account": {"type": "long"}, "mine": {"type": "keyword"}}
    client.indices.create(
        index=f"{ENGAGEMENT}-000001",
        mappings={"properties": {"mine": {"type": "keyword"}}},
        aliases={ENGAGEMENT: {}},
    )
    assert not index.write([document("a", 1)])
    found = client.indices.get_mapping(index=ENGAGEMENT)[f"{ENGAGEMENT}-000001"]["mappings"]
    assert {"mine", "account"} <= found["properties"].keys()
    set_up(settings, {})
    found = client.indices.get_mapping(index=ENGAGEMENT)[f"{ENGAGEMENT}-000001"]["mappings"]
    assert found["dynamic"] == "strict"
    client.indices.delete(index=f"{ENGAGEMENT}-000001")
    client.indices.create(
        index=f"{ENGAGEMENT}-000001", mappings={"properties": fields}, aliases={ENGAGEMENT: {}}
    )
    told = [step.advice for step in set_up(settings, {}) if step.state == "differs"]
    assert len(told) == 1
    assert "account is long, not keyword" in told[0]


def test_what_stands_in_the_way_is_told_and_nothing_is_written_there(
    client: Elasticsearch, settings: ElasticsearchSettings, index: ElasticsearchIndex
) -> None:
    client.indices.create(index=ENGAGEMENT)
    assert "wrong" in states(set_up(settings, {}))
    with pytest.raises(ConfigurationError, match="an index of this name is in its place"):
        index.write([document("a", 1)])
    client.indices.delete(index=ENGAGEMENT)
    assert not index.write([document("a", 1)])
    client.indices.create(index=f"{ENGAGEMENT}-000002", aliases={ENGAGEMENT: {}})
    told = [step for step in set_up(settings, {}) if step.what == f"alias {ENGAGEMENT}"]
    assert [step.state for step in told] == ["differs"]
    client.indices.put_alias(index=f"{ENGAGEMENT}-000001", name=ENGAGEMENT, is_write_index=False)
    assert "wrong" in states(set_up(settings, {}))
    with pytest.raises(RetriableError, match="lacks an index"):
        index.write([document("a", 1)])
    with pytest.raises(ConfigurationError, match="is_write_index"):
        index.write([document("a", 1)])


def test_an_index_that_somebody_deletes_is_made_again(
    client: Elasticsearch, index: ElasticsearchIndex, caplog: pytest.LogCaptureFixture
) -> None:
    for name, batch in (
        (ENGAGEMENT, [document("a", 1)]),
        (TOMBSTONES, [document("a", 1)]),
        (TOMBSTONES, [Document(ENGAGEMENT, "a", 2, None)]),
        (ENGAGEMENT, [Document(ENGAGEMENT, "a", 3, None)]),
    ):
        index.write([])
        client.indices.delete(index=f"{name}-000001")
        with pytest.raises(RetriableError):
            index.write(batch)
        assert not index.write(batch)
        assert f"{name}-000001 was missing and was made again" in caplog.text
        caplog.clear()


# The stage


def stage(path: Path, settings: ElasticsearchSettings, **batching: Any) -> Indexer:
    readers = {
        topic: SqliteLogReader(path, topic=topic, group="index") for topic in (ENGAGEMENT, HASHTAGS)
    }
    index = ElasticsearchIndex(settings, {}, clock=SystemClock())
    return Indexer(
        readers,
        index,
        SqliteLogWriter(path),
        clock=SystemClock(),
        batching=Batching(**batching),
    )


def append(path: Path, records: Sequence[NewRecord]) -> None:
    writer = SqliteLogWriter(path)
    writer.append(records)
    writer.close()


def committed(path: Path) -> int:
    connection = sqlite3.connect(path)
    (offset,) = connection.execute(
        "SELECT coalesce(max(next_offset), 0) FROM offsets WHERE reader = 'index'"
    ).fetchone()
    connection.close()
    return int(offset)


def test_an_index_that_was_not_there_before_gets_all_that_the_log_keeps(
    client: Elasticsearch, settings: ElasticsearchSettings, tmp_path: Path
) -> None:
    """Also where another index has it already, and where it is made anew."""
    file = Settings(data=str(tmp_path))
    append(tmp_path / "mastostream.sqlite3", [record(number) for number in range(5)])
    chosen = attrs.evolve(file, index="elasticsearch", elasticsearch=settings)

    def index(settings: Settings) -> int:
        return run_until_idle([indexer(settings, SystemClock())])["index"]

    assert [index(each) for each in (file, file, chosen, chosen)] == [5, 0, 5, 0]
    client.indices.delete(index=f"{ENGAGEMENT}-000001")
    assert [index(chosen), index(chosen)] == [5, 0]
    client.indices.refresh(index=ENGAGEMENT)
    assert client.count(index=ENGAGEMENT)["count"] == 5


@pytest.mark.campaign
@pytest.mark.parametrize("block", ["read_only_allow_delete", "read_only", "write"])
def test_an_index_that_is_read_only_is_waited_for(
    client: Elasticsearch, settings: ElasticsearchSettings, tmp_path: Path, block: str
) -> None:
    path = tmp_path / "log.sqlite3"
    set_up(settings, {})
    append(path, [record(1)])
    client.indices.put_settings(index=ENGAGEMENT, settings={f"index.blocks.{block}": True})
    with Runner([stage(path, settings)], clock=SystemClock()) as runner:
        until(lambda: "read-only" in (runner.health()[0].error or ""))
        assert runner.alive()
        assert committed(path) == 0
        client.indices.put_settings(index=ENGAGEMENT, settings={f"index.blocks.{block}": None})
        until(lambda: committed(path) == 1)
    assert runner.failure() is None
    assert find(client, ENGAGEMENT, ["1"])


@pytest.mark.campaign
def test_an_index_that_is_closed_is_waited_for(
    client: Elasticsearch, index: ElasticsearchIndex
) -> None:
    index.write([document("a", 1)])
    client.indices.close(index=f"{ENGAGEMENT}-000001")
    for _ in range(2):
        with pytest.raises(RetriableError, match="closed"):
            index.write([document("a", 2)])
    client.indices.open(index=f"{ENGAGEMENT}-000001")
    until(lambda: client.cluster.health(index=ENGAGEMENT)["status"] != "red")
    assert not index.write([document("a", 2)])


def mastostream(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "mastostream"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def project(folder: Path, url: str) -> None:
    (folder / "mastostream.toml").write_text(
        f'data = "d"\nindex = "elasticsearch"\n[elasticsearch]\nhosts = ["{url}"]\n'
    )


def letters(path: Path) -> list[tuple[str | None, str]]:
    reader = SqliteLogReader(path, topic=DEAD_LETTERS, group="look")
    found = [dead_letter_of(each.value, each.headers) for each in reader.read(10_000, 0.0)]
    reader.close()
    return [(letter.key, letter.reasons[0]) for letter in found]


def spoil(one: NewRecord, number: int) -> NewRecord:
    """Break a record in one of five ways; the first two are the mapping's fault."""
    members = json.loads(one.value)
    ways: Sequence[Mapping[str, Any]] = (
        {"surprise": number},
        {"surprise": [number]},
        {"favourites_count": "many"},
        {"key": None},
        {"created_at": "yesterday"},
    )
    value = json.dumps(members | ways[number % 5]).encode()
    return NewRecord(one.topic, one.key, value)


@pytest.mark.campaign
def test_one_record_in_twenty_is_broken_and_comes_in_when_the_cause_is_mended(
    client: Elasticsearch, settings: ElasticsearchSettings, tmp_path: Path
) -> None:
    project(tmp_path, settings.hosts[0])
    path = tmp_path / "d" / "mastostream.sqlite3"
    records = [record(number) for number in range(2_000)]
    broken = set(range(0, 2_000, 20))
    append(path, [spoil(each, n // 20) if n in broken else each for n, each in enumerate(records)])
    done = mastostream("index", "--once", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = letters(path)
    assert {int(key or -1) for key, _ in found} == broken
    assert all(reason for _, reason in found)
    good = [str(number) for number in range(2_000) if number not in broken]
    assert find(client, ENGAGEMENT, good).keys() == set(good)

    client.indices.put_mapping(index=ENGAGEMENT, properties={"surprise": {"type": "long"}})
    for arguments in (["dead-letters", "replay"], ["index", "--once"]):
        done = mastostream(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    mended = {str(number) for number in broken if number // 20 % 5 < 2}
    assert find(client, ENGAGEMENT, [str(number) for number in broken]).keys() == mended
    assert len(letters(path)) == len(broken) + len(broken) - len(mended)


@pytest.mark.campaign
def test_a_wrong_mapping_refuses_all_until_it_is_mended(
    client: Elasticsearch, settings: ElasticsearchSettings, tmp_path: Path
) -> None:
    project(tmp_path, settings.hosts[0])
    path = tmp_path / "d" / "mastostream.sqlite3"
    client.indices.create(
        index=f"{ENGAGEMENT}-000001",
        mappings={"properties": {"account": {"type": "long"}}},
        aliases={ENGAGEMENT: {"is_write_index": True}},
    )
    append(path, [record(number) for number in range(50)])
    assert mastostream("index", "--once", cwd=tmp_path).returncode == 0
    found = letters(path)
    assert len(found) == 50
    assert all("[account] of type [long]" in reason for _, reason in found)
    told = mastostream("index", "--setup", cwd=tmp_path)
    assert "account is long, not" in told.stdout

    client.indices.delete(index=f"{ENGAGEMENT}-000001")
    for arguments in (["index", "--setup"], ["dead-letters", "replay"], ["index", "--once"]):
        done = mastostream(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    ids = [str(number) for number in range(50)]
    assert find(client, ENGAGEMENT, ids).keys() == set(ids)


@pytest.mark.campaign
def test_the_command_says_what_it_did_and_where_the_index_is(
    client: Elasticsearch, settings: ElasticsearchSettings, tmp_path: Path
) -> None:
    project(tmp_path, settings.hosts[0])
    for expected in ("created", "unchanged"):
        done = mastostream("index", "--setup", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        steps = {line["what"]: line["state"] for line in lines if line["kind"] == "setup"}
        assert steps[f"alias {ENGAGEMENT}"] == expected
        assert lines[-1]["place"].startswith(settings.hosts[0])
    told = mastostream("index", "--once", cwd=tmp_path)
    assert f"The index is in {settings.hosts[0]}: {ENGAGEMENT}, {HASHTAGS}" in told.stdout
    file = mastostream("index", "--once", "--index", "sqlite", cwd=tmp_path)
    assert "The index is in d/mastostream.sqlite3" in file.stdout
    client.indices.delete(index=f"{ENGAGEMENT}-000001")
    client.indices.create(index=ENGAGEMENT)
    wrong = mastostream("index", "--setup", cwd=tmp_path)
    assert wrong.returncode == 2
    assert f"alias {ENGAGEMENT}: wrong (an index of this name is in its place" in wrong.stdout


# Servers of their own


@pytest.fixture
def small_server(elasticsearch_server: ElasticsearchServer) -> Iterator[ElasticsearchServer]:
    """One that takes no more than two requests at once; skipped where the other is."""
    limits = {"thread_pool.write.size": 1, "thread_pool.write.queue_size": 1}
    with temporary_server(ElasticsearchServer, settings=limits) as server:
        yield server


@pytest.mark.campaign
def test_a_server_that_refuses_most_and_goes_away_gets_all_in_the_end(
    small_server: ElasticsearchServer, tmp_path: Path
) -> None:
    path = tmp_path / "log.sqlite3"
    settings = ElasticsearchSettings(hosts=(small_server.url,), batch_documents=20)
    append(path, [record(number) for number in range(1_000)])
    indexer = stage(path, settings, records=2_000)
    with pytest.raises(RetriableError, match="es_rejected_execution_exception"):
        indexer.step(0.0)
    assert committed(path) == 0
    while not committed(path):
        with suppress(RetriableError):
            indexer.step(0.0)
    assert committed(path) == 1_000
    ids = [str(number) for number in range(1_000)]
    with admin(small_server.url) as client:
        assert find(client, ENGAGEMENT, ids).keys() == set(ids)

    with Runner([indexer], clock=SystemClock()) as runner:
        until(lambda: runner.health()[0].state == "running")
        small_server.stop()
        append(path, [record(number) for number in range(1_000, 1_500)])
        until(lambda: runner.health()[0].state == "retrying")
        assert "cannot reach" in (runner.health()[0].error or "")
        assert runner.alive()
        assert committed(path) == 1_000
        small_server.start()
        until(lambda: committed(path) == 1_500)
    assert runner.failure() is None
    ids = [str(number) for number in range(1_500)]
    with admin(small_server.url) as client:
        assert find(client, ENGAGEMENT, ids).keys() == set(ids)


PASSWORD = "correct-horse-battery"
HASHED = "$2a$10$0cejf50rhYQ6yB805uMjeekAtR0nVgakCFB7oI.rTO8EKph4iI.qq"
ROLES = """
enough:
  cluster: [monitor, manage_index_templates]
  indices:
    - names: ["mastodon-*", "mastostream-*"]
      privileges: [manage, read, write]
reads:
  cluster: [monitor, manage_index_templates]
  indices:
    - names: ["mastodon-*", "mastostream-*"]
      privileges: [manage, read]
nothing:
  cluster: []
"""
USERS = ("enough", "reads", "nothing")


@pytest.fixture(scope="module")
def locked_server(elasticsearch_server: ElasticsearchServer) -> Iterator[ElasticsearchServer]:
    """One that asks who you are, and knows three users; skipped where the other is."""
    with temporary_server(ElasticsearchServer, password=PASSWORD) as server:
        config = server.folder / "config"
        (config / "roles.yml").write_text(ROLES)
        (config / "users").write_text("".join(f"{name}:{HASHED}\n" for name in USERS))
        (config / "users_roles").write_text("".join(f"{name}:{name}\n" for name in USERS))
        for name in USERS:
            with admin(server.url, basic_auth=(name, PASSWORD)) as client:
                until(partial(knows, client, name))
        yield server


def knows(client: Elasticsearch, name: str) -> bool:
    """Whether the server has read its files: it looks every few seconds."""
    answer = client.options(ignore_status=401).security.authenticate()
    return bool(answer.get("username") == name and answer["roles"] == [name])


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"ELASTICSEARCH_USERNAME": name, "ELASTICSEARCH_PASSWORD": password}


def written_with(url: str, secrets: Mapping[str, str]) -> MastostreamError | None:
    settings = ElasticsearchSettings(hosts=(url,))
    index = ElasticsearchIndex(settings, secrets, clock=SystemClock())
    try:
        index.write([document("a", 1), Document(ENGAGEMENT, "b", 1, None)])
        set_up(settings, secrets)
    except MastostreamError as error:
        return error
    finally:
        index.close()
    return None


@pytest.mark.campaign
def test_who_may_write_and_what_the_others_are_told(
    locked_server: ElasticsearchServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    assert written_with(locked_server.url, basic("enough")) is None
    for secrets, told in (
        ({}, "ELASTICSEARCH_API_KEY"),
        (basic("enough", "wr0ng-password"), "ELASTICSEARCH_API_KEY"),
        ({"ELASTICSEARCH_API_KEY": "d3IwbmcK"}, "ELASTICSEARCH_API_KEY"),
        (basic("nothing"), "privileges"),
        (basic("reads"), "privileges"),
    ):
        error = written_with(locked_server.url, secrets)
        assert isinstance(error, ConfigurationError)
        assert told in str(error)
        assert not set(secrets.values()) & set(str(error).split())
    project(tmp_path, locked_server.url)
    (tmp_path / ".env").write_text("ELASTICSEARCH_USERNAME=elastic\nELASTICSEARCH_PASSWORD=wr0ng\n")
    for arguments in (["--setup"], ["--once"], ["--seconds", "60"]):
        done = mastostream("index", *arguments, "-vv", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "does not know these credentials" in done.stderr
        assert "wr0ng" not in done.stdout + done.stderr
    assert not any(secret in caplog.text for secret in (PASSWORD, "wr0ng-password", "d3IwbmcK"))
