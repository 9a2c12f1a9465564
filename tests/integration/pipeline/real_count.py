"""What the servers hold in the end, read by clients that share no code with the pipeline."""

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final, NamedTuple

import attrs
import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan
from hdfs_native.fsspec import HdfsFileSystem
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from mastostream.core.topic_names import COUNTS, DEAD_LETTERS, ENGAGEMENT, HASHTAGS, LATE, STREAM
from mastostream.services import ElasticsearchServer, HdfsServer, Service
from mastostream.testing.conformance.log import new_prefix
from mastostream.testing.simulator import HeldPost

from .window_recount import check_counts

ARCHIVED: Final = re.compile(r".*" + STREAM + r"\+(\d{5})\+(\d{20})-(\d{20})\.jsonl\.gz")
READERS: Final = {STREAM: 2, ENGAGEMENT: 1, HASHTAGS: 1}
"""How many groups commit how far they are: engine and archive; the index."""


@attrs.frozen(kw_only=True)
class Broker:
    """A Kafka, and what topics and groups of one test begin with."""

    kafka: Service
    prefix: str = attrs.field(factory=new_prefix)

    def client(self, **settings: object) -> dict[str, object]:
        group = f"{self.prefix}the-count"
        return {"bootstrap.servers": self.kafka.address, "group.id": group} | settings


@attrs.frozen(kw_only=True)
class Servers:
    """What a pipeline runs on; its topics and its indices begin with the prefix of the broker."""

    broker: Broker
    elasticsearch: ElasticsearchServer
    hdfs: HdfsServer


class Logged(NamedTuple):
    """A record of a topic."""

    partition: int
    offset: int
    key: str
    value: bytes


def read_topic(broker: Broker, name: str) -> list[Logged]:
    """Read all committed records, by a client that shares no code with the pipeline."""
    topic = broker.prefix + name
    settings = broker.client() | {
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }
    found: list[Logged] = []
    with closing(Consumer(settings)) as consumer:
        there = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in there])
        ended: set[int | None] = set()
        while len(ended) < len(there):
            message = consumer.poll(60)
            assert message is not None, f"{topic} does not come to its end"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
                continue
            key, value = message.key() or b"", message.value() or b""
            found.append(Logged(message.partition(), message.offset(), key.decode(), value))
    return found


def is_settled(broker: Broker, topic: str) -> bool:
    """Whether no transaction is open there."""
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        with closing(Consumer(broker.client() | {"isolation.level": level})) as consumer:
            ends.append(_end(consumer, broker.prefix + topic))
    return ends[0] == ends[1]


_patient: Final = retry(
    retry=retry_if_exception_type(KafkaException),
    stop=stop_after_delay(60),
    wait=wait_fixed(0.2),
    reraise=True,
)
"""A broker that has just begun does not know everything yet."""


@_patient
def ends(broker: Broker, topics: Collection[str] = tuple(READERS)) -> dict[str, int]:
    """The ends of all partitions of each of these topics, added up."""
    with closing(Consumer(broker.client())) as consumer:
        return {topic: _end(consumer, broker.prefix + topic) for topic in topics}


@_patient
def has_come_to(
    broker: Broker, wanted: Mapping[str, int], readers: Mapping[str, int] = READERS
) -> bool:
    """Whether all who read these topics have committed that they are so far."""
    admin = AdminClient({"bootstrap.servers": broker.kafka.address})
    committed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group in admin.list_consumer_groups(request_timeout=60).result().valid:
        asked = [ConsumerGroupTopicPartitions(group.group_id)]
        answers = admin.list_consumer_group_offsets(asked, request_timeout=60)
        for place in answers[group.group_id].result().topic_partitions:
            committed[place.topic][group.group_id] += place.offset
    return all(
        sum(offset >= end for offset in committed[broker.prefix + topic].values()) == readers[topic]
        for topic, end in wanted.items()
    )


def has_caught_up(broker: Broker) -> bool:
    """Whether engine and archive, and then the index, have done all that there is."""
    return all(has_come_to(broker, ends(broker, [topic])) for topic in READERS)


def _end(consumer: Consumer, topic: str) -> int:
    there = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    places = [TopicPartition(topic, each) for each in there]
    return sum(consumer.get_watermark_offsets(each, timeout=60)[1] for each in places)


class _Head(msgspec.Struct):
    """What says which post, and which version of it: a stamp, or the members of a result."""

    key: str = ""
    observed_at: datetime | None = None
    event: str = ""
    mastostream: "_Head | None" = None


class Version(NamedTuple):
    key: str
    observed_at: datetime | None
    event: str


def version_of(value: bytes) -> Version:
    head = msgspec.json.decode(value, type=_Head)
    stamp = head.mastostream or head
    return Version(stamp.key, stamp.observed_at, stamp.event)


def created_at(source: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(source["created_at"])


def when(source: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(source["observed_at"])


@attrs.frozen(kw_only=True)
class Count:
    """What is there in the end.

    Attributes:
        held: the documents of ``mastodon-engagement``.
        new_keys: of the posts that were logged for the first time.
        events: records of the stream by event.
        late: posts that no window took.
    """

    held: Sequence[HeldPost]
    new_keys: Sequence[str]
    events: Mapping[str, int]
    late: int


def count(servers: Servers, archive_folder: str) -> Count:
    """Count, and make sure that all stages agree."""
    broker = servers.broker
    stream = read_topic(broker, STREAM)
    versions = [version_of(record.value) for record in stream]
    new_keys = [version.key for version in versions if version.event == "new"]
    logged = {version[:2] for version in versions}
    for topic in (ENGAGEMENT, HASHTAGS):
        results = {version_of(record.value)[:2] for record in read_topic(broker, topic)}
        assert results == logged, topic
    check_bundle(servers.hdfs, f"{archive_folder}/{broker.prefix}{STREAM}", stream)
    assert read_topic(broker, DEAD_LETTERS) == []
    newest: dict[str, Version] = {}
    for version in versions:
        newest[version.key] = max(version, newest.get(version.key, version))
    shown = {key: version[1] for key, version in newest.items() if version.event != "delete"}
    documents = {
        index: documents_of(servers.elasticsearch, broker.prefix + index)
        for index in (ENGAGEMENT, HASHTAGS)
    }
    for index, found in documents.items():
        assert {key: when(source) for key, source in found.items()} == shown, index
    created = {key: created_at(source) for key, source in documents[ENGAGEMENT].items()}
    late = check_windows(broker, created)
    return Count(
        held=[msgspec.convert(each, HeldPost) for each in documents[ENGAGEMENT].values()],
        new_keys=new_keys,
        events=Counter(version.event for version in versions),
        late=late,
    )


def documents_of(server: ElasticsearchServer, index: str) -> dict[str, Mapping[str, Any]]:
    with closing(Elasticsearch(server.url, request_timeout=60)) as client:
        client.indices.refresh(index=index)
        return {hit["_id"]: hit["_source"] for hit in scan(client, index=index)}


def check_windows(broker: Broker, posts: Mapping[str | None, datetime]) -> int:
    """The newest record of each window counts the posts; return how many are late.

    Args:
        broker: where the records are.
        posts: when each post that there is was written, by key.
    """
    late = [msgspec.json.decode(each.value, type=_Late).key for each in read_topic(broker, LATE)]
    assert len(late) == len(set(late)), "a post late twice"
    written = [created_at for key, created_at in posts.items() if key not in late]
    check_counts((record.value for record in read_topic(broker, COUNTS)), written)
    return len(late)


class _Late(msgspec.Struct):
    key: str


class _Written(msgspec.Struct):
    created_at: datetime


def written_at(record: Logged) -> datetime:
    """When a post was written."""
    return msgspec.json.decode(record.value, type=_Written).created_at


def check_bundle(server: HdfsServer, folder: str, stream: Sequence[Logged]) -> None:
    """The files of each partition hold its records: every offset once, and as it was."""
    host, _, port = server.address.partition(":")
    hdfs = HdfsFileSystem(host, int(port), skip_instance_cache=True)
    expected: defaultdict[int, list[bytes]] = defaultdict(list)
    for record in sorted(stream):
        assert record.offset == len(expected[record.partition])
        expected[record.partition].append(record.value)
    kept: defaultdict[int, list[bytes]] = defaultdict(list)
    names = {path.rpartition("/")[2]: path for path in hdfs.find(folder)}
    for name in sorted(names):
        if (match := ARCHIVED.fullmatch(name)) is not None:
            partition, first, last = map(int, match.groups())
            lines = gzip.decompress(hdfs.cat_file(names[name])).splitlines()
            assert (first, last) == (len(kept[partition]), first + len(lines) - 1), name
            kept[partition] += lines
    assert kept == expected
