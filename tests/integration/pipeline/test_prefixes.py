"""Pipelines that differ in their prefixes alone, on one Kafka, one Elasticsearch, in one folder."""

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import attrs
import pytest
from confluent_kafka.admin import AdminClient
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from mastostream import Account, Deletion, Post, Stamp, encode
from mastostream.cli.doctor_servers import check_servers
from mastostream.config import ArchiveSettings, ElasticsearchSettings, KafkaSettings, Settings
from mastostream.core.dead_letters import dead_letter_of
from mastostream.core.topic_names import COUNTS, DEAD_LETTERS, ENGAGEMENT, HASHTAGS, STREAM
from mastostream.log.kafka import KafkaClientConfig, ensure_topics
from mastostream.log.kafka.window_state_store import WINDOWS
from mastostream.ports.clock import SystemClock
from mastostream.ports.log import NewRecord
from mastostream.ports.stage import Stage
from mastostream.runner import run_until_idle
from mastostream.services import ElasticsearchServer, KafkaServer
from mastostream.sinks.elasticsearch.definitions import TOMBSTONES
from mastostream.testing.conformance.log import new_topic, read_all
from mastostream.wiring import (
    TOPICS,
    analyses,
    archiver,
    dead_letter_reader,
    engines,
    index_reader,
    indexer,
    log_writer,
    verify,
)

from .real_count import Broker, read_topic

BIN: Final = Path(sys.executable).parent
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
POSTS: Final = 20
KAFKAS_OWN: Final = {"__consumer_offsets", "__transaction_state"}
INDICES: Final = (ENGAGEMENT, HASHTAGS, TOMBSTONES)


@attrs.frozen(kw_only=True)
class Team:
    """One pipeline."""

    name: str
    broker: Broker
    settings: Settings

    @property
    def topics(self) -> str:
        return f"{self.name}."

    @property
    def indices(self) -> str:
        return f"{self.name}-"

    def topic(self, name: str) -> list[bytes]:
        return [record.value for record in read_topic(self.broker, name)]

    def run(self, *arguments: str) -> str:
        """Run a command of this pipeline, whose prefix the environment says."""
        environment = {
            **os.environ,
            "MASTOSTREAM_LOG": "kafka",
            "MASTOSTREAM_KAFKA_SERVERS": self.settings.kafka.servers,
            "MASTOSTREAM_KAFKA_TOPIC_PREFIX": self.topics,
            "MASTOSTREAM_KAFKA_DELIVERY": self.settings.kafka.delivery,
            "MASTOSTREAM_KAFKA_PARTITIONS": str(self.settings.kafka.partitions),
            "MASTOSTREAM_DATA": self.settings.data,
            "MASTOSTREAM_FLINK_SETTINGS": "restart-strategy.type=none",
        }
        done = subprocess.run(
            [BIN / "mastostream", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            cwd=Path(self.settings.data).parent,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def team(kafka: KafkaServer, folder: Path, elasticsearch: str = "http://localhost:9200") -> Team:
    name = f"t{uuid.uuid4().hex[:8]}"
    settings = Settings(
        data=str(folder / "data"),
        log="kafka",
        index="elasticsearch",
        archive=ArchiveSettings(folder=str(folder / "archive"), compression="none"),
        kafka=KafkaSettings(
            servers=kafka.address,
            topic_prefix=f"{name}.",
            partitions=2,
            delivery="exactly-once",
        ),
        elasticsearch=ElasticsearchSettings(hosts=(elasticsearch,), index_prefix=f"{name}-"),
    )
    return Team(name=name, broker=Broker(kafka=kafka, prefix=f"{name}."), settings=settings)


def post(number: int, text: str) -> bytes:
    """Posts of the same number have the same key, whoever wrote them."""
    at = NOW + timedelta(seconds=number)
    return encode(
        Post(
            id=f"{number}",
            created_at=at,
            account=Account(acct=text),
            content=f"<p>{text}</p>",
            favourites_count=number,
            mastostream=Stamp(key=f"{number}", observed_at=at),
        )
    )


def feed(one: Team, values: Sequence[bytes]) -> None:
    with closing(log_writer(one.settings)) as writer:
        writer.append([NewRecord(STREAM, f"{n}", value) for n, value in enumerate(values)])


def stages(one: Team) -> list[Stage]:
    clock, settings = SystemClock(), one.settings
    chosen = (*analyses(settings, "stream", ["full"]), *analyses(settings, "sql", ["count"]))
    return [*engines(settings, chosen, clock), indexer(settings, clock), archiver(settings, clock)]


def topics_of(address: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": address}).list_topics(timeout=60).topics)


def groups_of(address: str) -> set[str]:
    admin = AdminClient({"bootstrap.servers": address})
    listed = admin.list_consumer_groups(request_timeout=60).result().valid
    return {group.group_id for group in listed}


def names_in(client: Elasticsearch) -> set[str]:
    """All indices, aliases and templates."""
    indices = client.indices.get(index="*", expand_wildcards="all")
    templates = client.indices.get_index_template()["index_templates"]
    aliases = {alias for facts in indices.values() for alias in facts["aliases"]}
    return {*indices, *aliases, *(each["name"] for each in templates)}


@pytest.fixture
def client(elasticsearch_server: ElasticsearchServer) -> Iterator[Elasticsearch]:
    with closing(Elasticsearch(elasticsearch_server.url, request_timeout=60)) as client:
        yield client


def remove(client: Elasticsearch, one: Team) -> None:
    for index in client.indices.get(index=f"{one.indices}*", expand_wildcards="all"):
        client.indices.delete(index=index)
    client.indices.delete_index_template(name=f"{one.indices}*")


@pytest.mark.alone  # all new names on the servers have to be its own
def test_two_pipelines_hold_exactly_their_own_posts(
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    client: Elasticsearch,
    tmp_path: Path,
) -> None:
    """They have the same keys, groups and folders, and what one deletes the other has."""
    address = kafka_server.address
    left, right = (team(kafka_server, tmp_path, elasticsearch_server.url) for _ in range(2))
    topics, groups, names = topics_of(address), groups_of(address), names_in(client)
    values = {
        one.name: [*(post(number, one.name) for number in range(POSTS)), one.name.encode()]
        for one in (left, right)
    }
    at = NOW + timedelta(minutes=1)
    stamp = Stamp(key="0", event="delete", observed_at=at)
    values[right.name].append(encode(Deletion(id="0", mastostream=stamp)))
    try:
        for one in (left, right):
            feed(one, values[one.name])
        run_until_idle([*stages(left), *stages(right)])
        client.indices.refresh(index=f"{left.indices}*,{right.indices}*", expand_wildcards="all")

        for one in (left, right):
            holds_its_own(one, values[one.name], tmp_path / "archive")
            deleted = {"0"} if one is right else set()
            held = {each["_id"]: each["_source"] for each in scan(client, index=f"{one.indices}m*")}
            assert held.keys() == {f"{number}" for number in range(POSTS)} - deleted
            assert {each["account"] for each in held.values()} == {one.name}
            tombstones = scan(client, index=f"{one.indices}{TOMBSTONES}")
            assert {each["_id"] for each in tombstones} == deleted
            with closing(index_reader(one.settings)) as reader:
                summary = reader.summary(NOW, NOW + timedelta(hours=1), 60, 3)
            assert summary.posts == POSTS - len(deleted)
            assert {each.account for each in summary.top_posts} == {one.name}

        both = (left, right)
        assert topics_of(address) - topics - KAFKAS_OWN == {
            f"{one.topics}{name}" for one in both for name in (*TOPICS, WINDOWS)
        }
        new_groups = groups_of(address) - groups
        assert all(each.startswith((left.topics, right.topics)) for each in new_groups)
        assert {each.removeprefix(left.topics) for each in new_groups if left.name in each} == {
            each.removeprefix(right.topics) for each in new_groups if right.name in each
        }
        assert names_in(client) - names == {
            f"{one.indices}{name}{number}"
            for one in both
            for name in INDICES
            for number in ("", "-000001")
        }
    finally:
        for one in (left, right):
            remove(client, one)


def holds_its_own(one: Team, fed: Sequence[bytes], archive: Path) -> None:
    """In each topic, in the archive, and among the dead letters."""
    assert Counter(one.topic(STREAM)) == Counter(fed)
    for name in (ENGAGEMENT, HASHTAGS):  # a deletion passes through, and has no account
        results = [json.loads(value) for value in one.topic(name)]
        assert [each["account"] for each in results if "account" in each] == [one.name] * POSTS
    assert len(one.topic(WINDOWS)) > 0
    with closing(dead_letter_reader(one.settings, "test")) as reader:
        letters = read_all(reader)
    assert {letter.topic for letter in letters} == {DEAD_LETTERS}
    assert {dead_letter_of(each.value, each.headers).topic for each in letters} == {STREAM}
    assert {letter.value for letter in letters} == {one.name.encode()}

    files = list((archive / f"{one.topics}{STREAM}").glob(f"{one.topics}{STREAM}+*.jsonl"))
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    assert Counter(lines) >= Counter(value for value in fed if value != one.name.encode())
    assert len(lines) == len(fed)
    found = verify(one.settings, STREAM, lambda _: None)
    assert sum(facts.records for facts in found.partitions) == len(fed)
    assert not found.problems


def test_people_see_the_names_that_kafka_has(kafka_server: KafkaServer, tmp_path: Path) -> None:
    """And a dead letter goes back to the topic of its own pipeline."""
    left, right = (team(kafka_server, tmp_path) for _ in range(2))
    (tmp_path / "data").mkdir()
    told = [json.loads(line) for line in left.run("topics", "--json").splitlines()]
    wanted = {f"{left.topics}{name}" for name in TOPICS}
    for kind in ("topic", "partition"):
        assert {each["topic"] for each in told if each["kind"] == kind} == wanted
    assert all(each["created"] for each in told if each["kind"] == "topic")
    (finding,) = check_servers(attrs.evolve(left.settings, index="sqlite"))
    assert f"all {len(TOPICS)} topics {left.topics}* are there" in finding.detail

    right.run("topics")
    for one in (left, right):
        feed(one, [b"no post"])
        one.run("analyze", "--once")
    for choice, count in ((["--stage", "index"], 0), (["--reason", "json"], 1), ([], 0)):
        assert f"{count} records sent again" in left.run("dead-letters", "replay", *choice)
    assert left.topic(STREAM) == [b"no post", b"no post"]
    assert right.topic(STREAM) == [b"no post"]

    records = [
        json.loads(line) for line in left.run("tail", STREAM, "--once", "--json").splitlines()
    ]
    assert [(each["topic"], each["value"]) for each in records] == [(STREAM, "no post")] * 2
    assert "no post" in right.run("tail", STREAM, "--from", "beginning", "--once")
    (letter,) = right.run("tail", DEAD_LETTERS, "--count", "1").splitlines()
    assert "analyze" in letter
    assert f"{STREAM}/" in letter


OWN: Final = """
from mastostream import Analysis
from mastostream.core.analyses import Aggregate
from mastostream.core.window_records import count_posts

def twice(post):
    if post.favourites_count % 7 == 3:
        raise ValueError("a mistake of the user's")
    return [{"key": f"{post.key}-{number}"} for number in range(2)]

TWICE = Analysis(name="twice", topic="twice", function=twice)
SIZES = Analysis(name="sizes", topic="sizes", aggregate=Aggregate(result=count_posts))
"""


@pytest.mark.campaign
def test_flink_reads_and_writes_the_topics_with_the_prefix(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    """The same records as the local engine, which has another prefix on the same broker."""
    pytest.importorskip("pyflink")
    local, flink = (team(kafka_server, tmp_path) for _ in range(2))
    (tmp_path / "data").mkdir()
    (tmp_path / "own.py").write_text(OWN)
    before, groups = topics_of(kafka_server.address), groups_of(kafka_server.address)
    values = [*(post(number, "someone") for number in range(POSTS)), b"no post"]
    own = ("--analysis", "own:TWICE", "--analysis", "own:SIZES")
    count = ("analyze", "--mode", "sql", "--analysis", "count", "--once")
    for one, engine in ((local, "local"), (flink, "flink")):
        ensure_topics(place_of(one), [STREAM])
        feed(one, values)
        end = () if engine == "flink" else ("--close-windows",)
        one.run("analyze", "--analysis", "full", *own, "--engine", engine, "--once", *end)
        one.run(*count, "--engine", engine, *end)
    for name in (ENGAGEMENT, HASHTAGS, "twice", "sizes", COUNTS):
        assert members(flink.topic(name)) == members(local.topic(name)), name
        assert flink.topic(name), name
    # Each engine of the local ones tells what is no post; a job tells it once.
    assert set(flink.topic(DEAD_LETTERS)) == set(local.topic(DEAD_LETTERS))
    assert len(flink.topic(DEAD_LETTERS)) == 1 + len([n for n in range(POSTS) if n % 7 == 3])
    with closing(dead_letter_reader(flink.settings, new_topic())) as reader:
        letters = [dead_letter_of(each.value, each.headers) for each in read_all(reader)]
    assert {letter.topic for letter in letters} == {STREAM}
    made = topics_of(kafka_server.address) - before - KAFKAS_OWN
    assert all(name.startswith((local.topics, flink.topics)) for name in made)
    used = groups_of(kafka_server.address) - groups
    assert all(name.startswith((local.topics, flink.topics)) for name in used)


def members(values: Sequence[bytes]) -> list[str]:
    """Records as JSON, whatever the order of their members."""
    return sorted(json.dumps(json.loads(value), sort_keys=True) for value in values)


def place_of(one: Team) -> KafkaClientConfig:
    kafka = one.settings.kafka
    return KafkaClientConfig(
        servers=kafka.servers, topic_prefix=kafka.topic_prefix, partitions=kafka.partitions
    )
