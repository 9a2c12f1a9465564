"""The whole pipeline on Kafka, Elasticsearch and HDFS, from simulated servers to the count."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mastostream.services import ElasticsearchServer, HdfsServer, KafkaServer

from .real_count import Broker, Servers
from .real_pipeline import HOUR_S, Scene, pipeline
from .real_processes import kill_at_random

pytestmark = pytest.mark.alone


def test_what_people_post_is_what_the_servers_hold_in_the_end(
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    hdfs_server: HdfsServer,
    tmp_path: Path,
    seed: int,
    rng: random.Random,
    record_property: Callable[[str, object], None],
) -> None:
    """Edits, deletions and growing engagement of two servers, and ``kill -9`` of each process."""
    servers = Servers(
        broker=Broker(kafka=kafka_server), elasticsearch=elasticsearch_server, hdfs=hdfs_server
    )
    scene = Scene(
        speed=180.0,
        hosts=("one.example", "two.example"),
        refresh_after_s=(60.0, 600.0),
        seed=seed,
    )
    with pipeline(tmp_path, servers, scene) as running:
        running.begin()
        running.go_on(HOUR_S / 2)
        kill_at_random(running.workers, dict.fromkeys(running.workers.all, 1), rng)
        running.go_on(HOUR_S / 2)
        count = running.end()
    record_property("kills", running.workers.kills)
    assert len(count.new_keys) > 500
    assert min(count.events[event] for event in ("new", "edit", "refresh", "delete")) > 25
