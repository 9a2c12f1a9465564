"""Real servers on this machine, without Docker: each is a plain process that listens on loopback.

A :class:`Service` keeps its data, its configuration and its logs in a folder, and is found there
again by any later command. Starting it twice starts it once; ending it keeps its data.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mastostream.services.downloads import OnProgress, class_path, download
from mastostream.services.elasticsearch import ElasticsearchServer
from mastostream.services.flink import FlinkCluster
from mastostream.services.hdfs import HdfsServer
from mastostream.services.java import Java, find_java
from mastostream.services.kafka import KafkaServer
from mastostream.services.loopback import free_port
from mastostream.services.server_logs import Follower, last_lines
from mastostream.services.service import ServerProcess, Service, State

__all__ = [
    "PORTS",
    "SERVICES",
    "ElasticsearchServer",
    "FlinkCluster",
    "Follower",
    "HdfsServer",
    "Java",
    "KafkaServer",
    "OnProgress",
    "ServerProcess",
    "Service",
    "State",
    "class_path",
    "download",
    "find_java",
    "free_port",
    "last_lines",
    "open_service",
]

SERVICES: Final = ("kafka", "hdfs", "elasticsearch", "flink")
PORTS: Final = ("kafka", "hdfs", "hdfs-http", "elasticsearch", "flink")
"""The ports that clients use, by the names under which another number can be chosen."""

_Maker = Callable[[Path, Mapping[str, int], int | None], Service]
_MAKERS: Final[Mapping[str, _Maker]] = {
    "kafka": lambda folder, ports, _: KafkaServer(folder, port=ports.get("kafka")),
    "hdfs": lambda folder, ports, _: HdfsServer(
        folder, port=ports.get("hdfs"), http_port=ports.get("hdfs-http")
    ),
    "elasticsearch": lambda folder, ports, _: ElasticsearchServer(
        folder, port=ports.get("elasticsearch")
    ),
    "flink": lambda folder, ports, taskmanagers: FlinkCluster(
        folder, port=ports.get("flink"), taskmanagers=taskmanagers
    ),
}


def open_service(
    name: str,
    folder: Path,
    ports: Mapping[str, int] | None = None,
    taskmanagers: int | None = None,
) -> Service:
    """Return one of :data:`SERVICES`, which has a folder of its own in this one.

    Args:
        name: of the service.
        folder: of all services.
        ports: by the names in :data:`PORTS`; those left out stay as they were.
        taskmanagers: of Flink; as it was where nothing is said.
    """
    return _MAKERS[name](folder / name, ports or {}, taskmanagers)
