"""The whole pipeline on Kafka, Elasticsearch and HDFS, from a simulated server to the count."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mastostream.services import ElasticsearchServer, HdfsServer

from .real_pipeline import HOUR_S, Scene, Servers, empty_servers, pipeline


@pytest.fixture
def servers(
    elasticsearch_server: ElasticsearchServer, hdfs_server: HdfsServer
) -> Iterator[Servers]:
    with empty_servers(elasticsearch_server, hdfs_server) as servers:
        yield servers


def test_what_people_post_is_what_the_servers_hold_in_the_end(
    servers: Servers, tmp_path: Path
) -> None:
    """Edits, deletions and growing engagement of two servers, over two simulated hours."""
    scene = Scene(hosts=("one.example", "two.example"), refresh_after_s=(60.0, 600.0, 1_800.0))
    with pipeline(tmp_path, servers, scene) as running:
        running.begin()
        running.go_on(2 * HOUR_S)
        count = running.end()
    assert len(count.new_keys) > 1_000
    assert min(count.events[event] for event in ("new", "edit", "refresh", "delete")) > 50
