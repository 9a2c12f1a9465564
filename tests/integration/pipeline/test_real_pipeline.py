"""The whole pipeline on Kafka, Elasticsearch and HDFS, from a simulated server to the count."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mastostream.services import (
    ElasticsearchServer,
    HdfsServer,
    KafkaServer,
    free_port,
    open_service,
)

from .real_count import Servers
from .real_pipeline import HOUR_S, Scene, pipeline

pytestmark = pytest.mark.alone

BIN = Path(sys.executable).parent


@pytest.fixture
def servers(
    kafka_server: KafkaServer,  # skips where there is no Java
    elasticsearch_server: ElasticsearchServer,
    hdfs_server: HdfsServer,
) -> Iterator[Servers]:
    """With a broker without topics, as users start it."""
    with tempfile.TemporaryDirectory(prefix="mastostream-services-") as folder:
        command = [BIN / "mastostream", "services"]
        port = f"--port=kafka={free_port()}"
        subprocess.run([*command, "up", "kafka", port, "--folder", folder], check=True)
        try:
            kafka = open_service("kafka", Path(folder))
            yield Servers(kafka=kafka, elasticsearch=elasticsearch_server, hdfs=hdfs_server)
        finally:
            subprocess.run([*command, "down", "--folder", folder], check=True)


def test_what_people_post_is_what_the_servers_hold_in_the_end(
    servers: Servers, tmp_path: Path
) -> None:
    """Edits, deletions and growing engagement of two servers, over two simulated hours."""
    scene = Scene(
        speed=180.0,
        hosts=("one.example", "two.example"),
        refresh_after_s=(60.0, 600.0, 1_800.0),
        settings={"MASTOSTREAM_KAFKA_SETTINGS": "session.timeout.ms=6000"},
    )
    with pipeline(tmp_path, servers, scene) as running:
        running.begin()
        running.go_on(2 * HOUR_S)
        count = running.end()
    assert len(count.new_keys) > 1_000
    assert min(count.events[event] for event in ("new", "edit", "refresh", "delete")) > 50
