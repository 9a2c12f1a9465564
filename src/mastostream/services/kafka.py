"""Kafka in KRaft mode: one process, broker and controller."""

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
"""Of Kafka's own topics; its default of 50 only costs files here."""

_OPTIONS: Final = (
    *("-Xms128m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"),
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)
_SESSION_MS: Final = 4_000
"""After a crash the broker waits so long until its old self counts as dead; by default 9 s."""


class KafkaServer(Service):
    """A broker for one machine."""

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        """Describe it; nothing is started.

        Args:
            folder: for its data, its configuration and its log.
            port: for clients. Default: as it was, at first 9092.
            settings: of the broker, by Kafka's names; they win over all others.
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
        """Write the configuration. Lines of names and values, as java.util.Properties reads."""
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
            "broker.session.timeout.ms": _SESSION_MS,
            "message.max.bytes": _LARGEST_MESSAGE_BYTES,
            "replica.fetch.max.bytes": _LARGEST_MESSAGE_BYTES,
        } | self._settings
        lines = (f"{name}={_escaped(value)}\n" for name, value in settings.items())
        properties.write_text("".join(lines), encoding="latin-1")

    def _format(self, java: list[str]) -> None:
        """Prepare the storage: whole, or not at all.

        Each time in another folder, and by a file of its own: where this process was killed, the
        tool may still be at work, or only about to read what it should do.
        """
        for left in self.folder.glob("data.part*"):
            if left.suffix == ".properties":
                left.unlink()
            else:
                shutil.rmtree(left, ignore_errors=True)  # the tool may still write there
        part = self.folder / f"data.part-{uuid.uuid4().hex[:8]}"
        properties = part.with_name(f"{part.name}.properties")
        self._write(properties, part)
        tool = ["kafka.tools.StorageTool", "format", "-t", new_cluster_id()]
        run_tool([*java, *tool, "-c", str(properties)], "Kafka's storage cannot be formatted")
        properties.unlink()
        part.rename(self.folder / "data")


def new_cluster_id() -> str:
    """Return a random id as Kafka makes them: one that cannot be taken for an option."""
    while True:
        found = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not found.startswith("-"):
            return found


def _escaped(value: object) -> str:
    """Write a value as java.util.Properties reads it: Latin-1, with escapes."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    units = text.encode("utf-16-be", errors="replace")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
