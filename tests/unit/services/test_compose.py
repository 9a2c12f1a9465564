"""``compose.yaml`` is checked as text; running it would need Docker."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mastostream.services import SERVICES
from mastostream.services.elasticsearch import ELASTICSEARCH_PORT
from mastostream.services.hdfs import HDFS_HTTP_PORT, HDFS_PORT
from mastostream.services.kafka import KAFKA_PORT, KafkaServer
from mastostream.services.versions import (
    ELASTICSEARCH_VERSION,
    HADOOP_VERSION,
    KAFKA_VERSION,
    KIBANA_VERSION,
)

FILE = Path(__file__).parents[3] / "compose.yaml"
IMAGES = {
    "kafka": f"apache/kafka:{KAFKA_VERSION}",
    "namenode": f"apache/hadoop:{HADOOP_VERSION}",
    "datanode": f"apache/hadoop:{HADOOP_VERSION}",
    "elasticsearch": f"docker.elastic.co/elasticsearch/elasticsearch:{ELASTICSEARCH_VERSION}",
    "kibana": f"docker.elastic.co/kibana/kibana:{KIBANA_VERSION}",
}
PORTS = {
    "kafka": {KAFKA_PORT},
    "namenode": {HDFS_PORT, HDFS_HTTP_PORT},
    "datanode": {9864, 9866, 9867},
    "elasticsearch": {ELASTICSEARCH_PORT},
    "kibana": {5601},
}
DIFFERENT = {
    *("listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"),
    "controller.quorum.voters",
    *("broker.heartbeat.interval.ms", "broker.session.timeout.ms"),
}
"""Kafka settings that differ in a container, or that matter only to tests."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content = yaml.safe_load(FILE.read_text())
    assert isinstance(content, dict)
    return content


def test_the_images_are_of_the_versions_that_services_starts(compose: dict[str, Any]) -> None:
    assert {name: service["image"] for name, service in compose["services"].items()} == IMAGES
    assert set(SERVICES) - {"flink", "hdfs"} <= set(IMAGES)


@pytest.mark.parametrize("name", IMAGES)
def test_every_port_is_of_this_machine_only(compose: dict[str, Any], name: str) -> None:
    ports = [mapping.split(":") for mapping in compose["services"][name]["ports"]]
    assert {host for host, _, _ in ports} == {"127.0.0.1"}
    assert {int(outside) for _, outside, _ in ports} == PORTS[name]
    assert all(outside == inside for _, outside, inside in ports)


@pytest.mark.parametrize("name", IMAGES)
def test_each_has_a_health_check_and_keeps_its_data(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["healthcheck"]["test"]
    assert service["healthcheck"]["retries"] > 10
    (volume,) = service["volumes"]
    assert volume.partition(":")[0] in compose["volumes"]
    for other in service.get("depends_on", {}):
        assert "healthcheck" in compose["services"][other]


def test_every_value_is_text(compose: dict[str, Any]) -> None:
    """YAML's ``false`` would reach a server as ``False`` or not at all."""
    for service in compose["services"].values():
        assert {type(value) for value in service["environment"].values()} == {str}


def test_kafka_has_the_settings_that_services_gives_it(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    server = KafkaServer(tmp_path)
    server._ports.settle()
    server._write(tmp_path / "server.properties", tmp_path / "data")
    lines = (tmp_path / "server.properties").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    environment = compose["services"]["kafka"]["environment"]
    for name in settings.keys() - DIFFERENT:
        variable = "KAFKA_" + name.replace(".", "_").upper()
        assert environment.get(variable) == settings[name], name
