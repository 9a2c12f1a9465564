"""The pipeline on real servers, while its processes are killed and its servers go away."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mastostream.core.topics import ENGAGEMENT, HASHTAGS, STREAM
from mastostream.ports.clock import SystemClock
from mastostream.services import ElasticsearchServer, HdfsServer, KafkaServer
from mastostream.testing.temporary import temporary_server

from .real_count import has_caught_up, is_settled, read_topic, version_of
from .real_pipeline import (
    ANALYZE,
    QUICKER_SESSIONS,
    Feed,
    Scene,
    Servers,
    Worker,
    Workers,
    empty_servers,
    kill_at_random,
    log_settings,
    pipeline,
    until,
)

KILLS = 30


@pytest.fixture
def servers(
    elasticsearch_server: ElasticsearchServer, hdfs_server: HdfsServer
) -> Iterator[Servers]:
    with empty_servers(elasticsearch_server, hdfs_server) as servers:
        yield servers


@pytest.fixture
def kafka() -> Iterator[KafkaServer]:
    with temporary_server(KafkaServer, settings=QUICKER_SESSIONS) as kafka:
        yield kafka


def test_kill_9_of_any_process_at_random_moments_loses_and_repeats_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    settings = {"MASTOSTREAM_ARCHIVE_ROTATE_S": "240"}
    with pipeline(tmp_path, servers, Scene(speed=60.0, settings=settings)) as running:
        running.begin()
        kill_at_random(running.workers, running.workers.all, KILLS, random.Random(7))
        count = running.end()
    assert len(count.new_keys) > 500


def has_partitions(worker: Worker) -> bool:
    return any(
        not line.endswith("[]") for line in worker.told().splitlines() if "has partitions" in line
    )


def test_exactly_once_is_exactly_once(kafka: KafkaServer, tmp_path: Path) -> None:
    """Engines are killed, sleep for longer than their session, join and leave."""
    settings = log_settings(kafka) | {"MASTOSTREAM_KAFKA_DELIVERY": "exactly-once"}
    rng = random.Random(3)
    with Workers(tmp_path, settings).told() as workers:
        first = workers.add("first", *ANALYZE).start()
        second = workers.add("second", *ANALYZE)
        with Feed(kafka, SystemClock().now_ms, posts_per_s=500) as feed:

            def flows() -> None:
                sent = feed.sent
                workers.until(lambda: feed.sent > sent + 200)

            workers.until(lambda: has_partitions(first))
            for n in range(4):
                second.log_path.unlink(missing_ok=True)
                second.start()
                workers.until(lambda: has_partitions(second))
                flows()
                with first.paused():
                    sent = feed.sent
                    until(lambda: feed.sent > sent + 500 * rng.uniform(4, 8))
                flows()
                second.kill() if n % 2 else second.end()
                flows()
                first.kill()
                first.start()
                flows()
        workers.until(lambda: has_caught_up(kafka.address, {STREAM: 1}))
        until(lambda: is_settled(kafka.address, ENGAGEMENT))
        for worker in workers.all:
            worker.end()
    for topic in (ENGAGEMENT, HASHTAGS):
        times = Counter(version_of(record.value)[:2] for record in read_topic(kafka.address, topic))
        assert len(times) == feed.sent
        assert [each for each, n in times.items() if n > 1] == []
