"""Kafka on this machine: one process in KRaft mode, which is broker and controller."""

import base64
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mastostream.services.downloads import OnProgress, class_path
from mastostream.services.java import find_java
from mastostream.services.loopback import HOST
from mastostream.services.probing import kafka_brokers
from mastostream.services.process import Command, Process, run_tool
from mastostream.services.service import Ports, ServerProcess, Service
from mastostream.services.versions import KAFKA_JARS

__all__ = ["KAFKA_PORT", "KafkaServer"]

KAFKA_PORT: Final = 9092
_LARGEST_MESSAGE_BYTES: Final = 8 * 2**20
_PARTITIONS: Final = 8
"""Partitions of Kafka's own topics. The default of 50 only costs files on one machine."""

_OPTIONS: Final = (
    *("-Xms128m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"),
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)
_SESSION_TIMEOUT_MS: Final = 4_000
"""The session timeout of the broker. After a crash, a new start waits until the session of the old
process has expired; Kafka's default is 9 s."""


class KafkaServer(Service):
    """A Kafka broker for one machine. Topics are not created automatically."""

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        """Describe the service; nothing is started.

        Args:
            folder: holds the data, the configuration and the log file.
            port: the port for clients. Default: the port of the last start, at first 9092.
            settings: settings of the broker by Kafka's names. They win over our own.
        """
        folder = folder.resolve()
        self._settings = dict(settings or {})
        server = ServerProcess(
            process=Process("kafka", folder),
            ports=lambda: {"kafka": ports["kafka"]},
            prepare=self._prepare,
            missing=lambda: "" if kafka_brokers(ports["kafka"]) else "waiting for the broker",
        )
        ports = Ports(folder, {"kafka": port}, {"kafka": KAFKA_PORT})
        super().__init__(name="kafka", folder=folder, ports=ports, servers=[server])

    def _prepare(self, on_progress: OnProgress) -> Command:
        java = str(find_java().executable)
        jars = ":".join(map(str, class_path(KAFKA_JARS, on_progress)))
        properties = self.folder / "server.properties"
        self._write(properties, self.folder / "data")
        if not (self.folder / "data").exists():
            on_progress("kafka: formatting its storage", None)
            self._format([java, "-cp", jars])
        arguments = [java, *_OPTIONS, "-cp", jars, "kafka.Kafka", str(properties)]
        return Command(arguments=arguments)

    def _write(self, properties: Path, data: Path) -> None:
        """Write the configuration: lines of ``name=value``, the format of java.util.Properties."""
        controller = f"{HOST}:{self._ports.internal('controller')}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{HOST}:{self._ports['kafka']},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": data,
            "auto.create.topics.enable": False,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": _PARTITIONS,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": _PARTITIONS,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": _SESSION_TIMEOUT_MS,
            "message.max.bytes": _LARGEST_MESSAGE_BYTES,
            "replica.fetch.max.bytes": _LARGEST_MESSAGE_BYTES,
        } | self._settings
        lines = (f"{name}={_escaped(value)}\n" for name, value in settings.items())
        properties.write_text("".join(lines), encoding="latin-1")

    def _format(self, java: list[str]) -> None:
        """Format the storage completely or not at all.

        Each attempt uses a new folder and a new configuration file. The tool of an attempt that was
        killed may still write, or may not have read its configuration yet.
        """
        for leftover in self.folder.glob("data.part*"):
            if leftover.suffix == ".properties":
                leftover.unlink()
            else:
                shutil.rmtree(leftover, ignore_errors=True)  # the tool may still write there
        part = self.folder / f"data.part-{uuid.uuid4().hex[:8]}"
        properties = part.with_name(f"{part.name}.properties")
        self._write(properties, part)
        tool = ["kafka.tools.StorageTool", "format", "-t", new_cluster_id()]
        run_tool([*java, *tool, "-c", str(properties)], "Kafka's storage cannot be formatted")
        properties.unlink()
        part.rename(self.folder / "data")


def new_cluster_id() -> str:
    """Return a random id in Kafka's format: a UUID in URL-safe base64, 22 characters.

    The id never begins with ``-``, so that no command line takes it for an option.
    """
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def _escaped(value: object) -> str:
    """Return a value as java.util.Properties reads it: ASCII, and escapes for all else."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    units = text.encode("utf-16-be", errors="replace")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
