"""The pipeline on real servers, while its processes are killed and its servers go away."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from mastostream.core.topic_names import ENGAGEMENT, HASHTAGS, STREAM
from mastostream.ports.clock import ScaledClock, SystemClock
from mastostream.services import ElasticsearchServer, HdfsServer, KafkaServer

from .real_count import (
    Broker,
    check_windows,
    ends,
    has_come_to,
    is_settled,
    read_topic,
    version_of,
    written_at,
)
from .real_pipeline import (
    ANALYZE,
    COUNT,
    PUNCTUAL,
    START_MS,
    Feed,
    Scene,
    Servers,
    clock_settings,
    log_settings,
    pipeline,
)
from .real_processes import Worker, Workers, kill_at_random, until

pytestmark = [pytest.mark.campaign, pytest.mark.alone]

SPEED = 100.0
SCENE = Scene(
    speed=SPEED,
    traffic_profile=PUNCTUAL,
    # Files that stay open for some seconds, so that there is something to lose.
    settings={"MASTOSTREAM_ARCHIVE_ROTATE_S": "400"},
)


@pytest.fixture
def broker(kafka_server: KafkaServer) -> Broker:
    return Broker(kafka=kafka_server)


@pytest.fixture
def servers(
    elasticsearch_server: ElasticsearchServer, hdfs_server: HdfsServer, broker: Broker
) -> Servers:
    return Servers(broker=broker, elasticsearch=elasticsearch_server, hdfs=hdfs_server)


def test_kill_9_of_any_process_at_random_moments_loses_and_repeats_nothing(
    servers: Servers,
    tmp_path: Path,
    seed: int,
    rng: random.Random,
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    with pipeline(tmp_path, servers, attrs.evolve(SCENE, seed=seed)) as running:
        running.begin()
        times = dict.fromkeys(running.workers.all, kills) | {running.counter: kills // 3}
        kill_at_random(running.workers, times, rng)
        count = running.end()
    record_property("kills", running.workers.kills)
    assert len(count.new_keys) > 500


def has_partitions(worker: Worker) -> bool:
    """Whether it works in its group."""
    told = [line for line in worker.told().splitlines() if "has partitions" in line]
    return bool(told) and not told[-1].endswith("[]")


def leads(worker: Worker) -> bool:
    """Whether it has taken the windows over."""
    return any(line.endswith(": leads") for line in worker.told().splitlines())


def test_servers_that_go_away_and_processes_that_come_and_go_lose_and_repeat_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    """No process ends by itself meanwhile."""
    kafka, elasticsearch, hdfs = servers.broker.kafka, servers.elasticsearch, servers.hdfs
    with pipeline(tmp_path, servers, SCENE) as running:
        running.begin()
        for away, off_s in (
            ([kafka], 20.0),
            ([elasticsearch, hdfs.datanode], 8.0),
            ([hdfs.namenode], 2.0),
        ):
            for server in away:
                server.stop()
            running.go_on(off_s * SPEED)
            for server in reversed(away):
                server.start()
            running.flows()
        for number in range(2):
            others = [
                running.workers.add(f"{command[0]}-{number}", *command).start()
                for command in (ANALYZE, ("index",), ("archive",))
            ]
            running.workers.until(lambda these=others: all(map(has_partitions, these)))
            running.go_on(3.0 * SPEED)
            for other in others:
                other.kill() if number else other.end()
            running.go_on(3.0 * SPEED)
        count = running.end()
    assert len(count.new_keys) > 500


def test_exactly_once_is_exactly_once(broker: Broker, tmp_path: Path) -> None:
    """Engines are killed, sleep for longer than their session lasts, join and leave."""
    settings = log_settings(broker) | {"MASTOSTREAM_KAFKA_DELIVERY": "exactly-once"}
    with Workers(tmp_path, settings).told() as workers:
        first = workers.add("first", *ANALYZE).start()
        with Feed(broker, SystemClock().now_ms, posts_per_s=500) as feed:
            workers.until(lambda: has_partitions(first))
            for number in range(4):
                second = workers.add(f"second-{number}", *ANALYZE).start()
                workers.until(lambda worker=second: has_partitions(worker))
                feed.go_on(500)
                with first.paused():
                    feed.go_on(2_500)
                feed.go_on(500)
                second.kill() if number % 2 else second.end()
                feed.go_on(500)
                first.kill()
                first.start()
                feed.go_on(500)
        workers.until(lambda: has_come_to(broker, ends(broker, [STREAM]), {STREAM: 1}))
        until(lambda: is_settled(broker, ENGAGEMENT))
        for worker in workers.all:
            worker.end()
    for topic in (ENGAGEMENT, HASHTAGS):
        times = Counter(version_of(record.value)[:2] for record in read_topic(broker, topic))
        assert len(times) == feed.sent
        assert [each for each, count in times.items() if count > 1] == []


def test_windows_count_each_post_once_whoever_leads(broker: Broker, tmp_path: Path) -> None:
    """The leader is killed or sleeps, and another takes over; then all are gone for a while."""
    clock = ScaledClock(time.time_ns() // 1_000_000, START_MS, 10.0)
    settings = log_settings(broker) | clock_settings(clock)
    settings["MASTOSTREAM_WINDOWS_CORRECT_EVERY_S"] = "1"
    with Workers(tmp_path, settings).told() as workers:
        leader = workers.add("count-0", *COUNT).start()
        with Feed(broker, clock.now_ms, posts_per_s=200) as feed:
            workers.until(lambda: leads(leader))
            for number in range(1, 5):
                other = workers.add(f"count-{number}", *COUNT).start()
                feed.go_on(600)
                with leader.paused():
                    if number % 2:
                        leader.kill()
                    workers.until(lambda worker=other: leads(worker))
                    feed.go_on(300)
                feed.go_on(300)
                leader.let_go()
                leader = other
            leader.kill()
            feed.go_on(2_400)
            leader.start()
            feed.go_on(600)
        leader.end()
    workers.add("the-rest", *COUNT, "--once").run_once()
    stream = read_topic(broker, STREAM)
    assert len(stream) == feed.sent
    assert check_windows(broker, {record.key: written_at(record) for record in stream}) == 0
