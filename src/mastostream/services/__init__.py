"""Real servers on this machine, without Docker: each is a plain process that listens on loopback.

A :class:`Service` keeps its data, its configuration and its logs in a folder. Any later command
finds the running service again by that folder. Starting a service that runs changes nothing, and
stopping it keeps its data.
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
"""Names of the ports that clients use. A user can choose another number for each of them."""

_Factory = Callable[[Path, Mapping[str, int], int | None], Service]
_FACTORIES: Final[Mapping[str, _Factory]] = {
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
    """Return the service of this name; nothing is started.

    Args:
        name: one of :data:`SERVICES`.
        folder: the folder of all services. The service gets the subfolder with its own name.
        ports: port numbers by the names in :data:`PORTS`. Ports that are left out stay as they
            were at the last start.
        taskmanagers: the number of Flink's TaskManagers; ``None`` keeps the number of the last
            start.

    Raises:
        KeyError: there is no service of this name.
    """
    return _FACTORIES[name](folder / name, ports or {}, taskmanagers)
