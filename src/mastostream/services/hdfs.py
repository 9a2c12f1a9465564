"""HDFS on this machine: a NameNode and one DataNode."""

import json
import os
import pwd
import shutil
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

from mastostream.exceptions import ConfigurationError
from mastostream.services.atomic_files import write_whole
from mastostream.services.downloads import OnProgress, class_path
from mastostream.services.java import find_java
from mastostream.services.loopback import HOST
from mastostream.services.probing import get_json
from mastostream.services.process import Command, Process, run_tool
from mastostream.services.service import Ports, ServerProcess, Service
from mastostream.services.versions import HADOOP_JARS

__all__ = ["HDFS_HTTP_PORT", "HDFS_PORT", "HdfsServer"]

HDFS_PORT: Final = 9000
HDFS_HTTP_PORT: Final = 9870
_CLASSES: Final = "org.apache.hadoop.hdfs.server"
_OPTIONS: Final = (
    *("-Xms64m", "-Xmx256m", "-XX:+ExitOnOutOfMemoryError"),
    "-Djava.net.preferIPv4Stack=true",  # as Hadoop's own scripts do
    # WebHDFS makes classes at run time in a way that Java 17 allows only with this option.
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
)
_DATANODE_PORTS: Final = {
    "dfs.datanode.address": "datanode",
    "dfs.datanode.http.address": "datanode-http",
    "dfs.datanode.ipc.address": "datanode-ipc",
}
"""Settings of ``hdfs-site.xml`` that hold an address, and the internal port that each one gets."""

_LOG4J: Final = """\
log4j.rootLogger=INFO,console
log4j.logger.http.requests=WARN
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


class HdfsServer(Service):
    """An HDFS for one machine: one replica of each block, permissions are not checked.

    Attributes:
        namenode: the server that holds the names of the files and where their blocks are.
        datanode: the server that holds the blocks.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        http_port: int | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Describe the service; nothing is started.

        Args:
            folder: holds the data, the configuration and the logs.
            port: the port for clients. Default: the port of the last start, at first 9000.
            http_port: the port for WebHDFS and the NameNode's web pages. Default: the port of the
                last start, at first 9870.
            settings: settings of both servers by the names in ``hdfs-site.xml``. They win over our
                own.
        """
        folder = folder.resolve()
        self._settings = dict(settings or {})
        self.namenode = ServerProcess(
            process=Process("namenode", folder),
            ports=lambda: {name: ports[name] for name in defaults},
            prepare=lambda on_progress: self._prepare("namenode", on_progress),
            missing=self._namenode_missing,
        )
        self.datanode = ServerProcess(
            process=Process("datanode", folder),
            ports=dict,
            prepare=lambda on_progress: self._prepare("datanode", on_progress),
            missing=self._datanode_missing,
        )
        defaults = {"hdfs": HDFS_PORT, "hdfs-http": HDFS_HTTP_PORT}
        ports = Ports(folder, {"hdfs": port, "hdfs-http": http_port}, defaults)
        super().__init__(
            name="hdfs",
            folder=folder,
            ports=ports,
            servers=[self.namenode, self.datanode],
            scheme="hdfs://",
        )

    @property
    def webhdfs_url(self) -> str:
        """The URL for clients that use WebHDFS."""
        return f"http://localhost:{self._ports['hdfs-http']}"

    def _namenode_missing(self) -> str:
        state = self._bean("hdfs-http", "NameNode", "FSNamesystemState")
        if state is None:
            return "waiting for the NameNode"
        if self.datanode.pid is None:
            return ""  # without a DataNode it cannot leave safe mode
        if self._reported_at_ms() < self._started_at_ms():
            return "waiting for the DataNode to report"
        return "" if state.get("FSState") == "Operational" else "leaving safe mode"

    def _datanode_missing(self) -> str:
        if self._bean("datanode-http", "DataNode", "DataNodeInfo") is None:
            return "waiting for the DataNode"
        return "" if self.namenode.pid is None else self._namenode_missing()

    def _started_at_ms(self) -> int:
        """When the NameNode started, milliseconds since the epoch; far in the future if unknown."""
        info = self._bean("hdfs-http", "NameNode", "NameNodeInfo") or {}
        return int(info.get("NNStartedTimeInMillis", sys.maxsize))

    def _reported_at_ms(self) -> int:
        """When the DataNode last reported its blocks, milliseconds since the epoch; 0 for never.

        The DataNode says it in whole seconds. The result is the earliest moment that is possible.
        """
        info = self._bean("datanode-http", "DataNode", "DataNodeInfo") or {}
        actors = json.loads(info.get("BPServiceActorInfo") or "[]")
        ages_s = [
            int(actor.get("LastBlockReport", sys.maxsize))
            for actor in actors
            if actor.get("ActorState") == "RUNNING"
        ]
        return time.time_ns() // 1_000_000 - (ages_s[0] + 1) * 1_000 if ages_s else 0

    def _bean(self, port_name: str, service: str, name: str) -> dict[str, Any] | None:
        """Return what a server says about itself in a JMX bean; ``None`` if it does not answer."""
        port = self._ports.kept().get(port_name)
        response = port and get_json(port, f"/jmx?qry=Hadoop:service={service},name={name}")
        beans = response.get("beans") if response else None
        return beans[0] if beans else None

    def _prepare(self, role: Literal["namenode", "datanode"], on_progress: OnProgress) -> Command:
        _check_user()
        java = str(find_java().executable)
        jars = class_path(HADOOP_JARS, on_progress)
        config, web = self.folder / "config", self.folder / "web"
        for name in ("hdfs", "datanode"):  # the servers need the folders of their web pages
            (web / "webapps" / name / "WEB-INF").mkdir(parents=True, exist_ok=True)
        config.mkdir(exist_ok=True)
        if self.datanode.pid is None:
            for name in _DATANODE_PORTS.values():
                self._ports.internal(name)
        self._configure(config)
        path = ":".join(map(str, (config, web, *jars)))
        storage = self.folder / "namenode"
        if role == "namenode" and not storage.exists():
            on_progress("hdfs: formatting its storage", None)
            self._format([java, *_OPTIONS, "-cp", path], storage)
        server = {"namenode": "namenode.NameNode", "datanode": "datanode.DataNode"}[role]
        return Command(arguments=[java, *_OPTIONS, "-cp", path, f"{_CLASSES}.{server}"])

    def _configure(self, config: Path) -> None:
        core = {"fs.defaultFS": self.url, "hadoop.tmp.dir": self.folder / "tmp"}
        site: dict[str, object] = {
            "dfs.namenode.rpc-address": f"{HOST}:{self._ports['hdfs']}",
            "dfs.namenode.http-address": f"{HOST}:{self._ports['hdfs-http']}",
            "dfs.namenode.name.dir": self.folder / "namenode",
            "dfs.datanode.data.dir": self.folder / "datanode",
            "dfs.datanode.hostname": "localhost",
            "dfs.replication": 1,
            "dfs.permissions.enabled": "false",
            "dfs.namenode.safemode.extension": 0,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            # A DataNode that has ended counts as dead within 20 s, instead of 10 min.
            "dfs.heartbeat.interval": 1,
            "dfs.namenode.heartbeat.recheck-interval": 5_000,
        }
        for setting, name in _DATANODE_PORTS.items():
            site[setting] = f"{HOST}:{self._ports[name]}"
        _write_site(config / "core-site.xml", core)
        _write_site(config / "hdfs-site.xml", site | self._settings)
        write_whole(config / "log4j.properties", _LOG4J)

    def _format(self, java: list[str], storage: Path) -> None:
        """Format the NameNode's storage folder completely or not at all."""
        # Each attempt uses a new folder: the tool of an attempt that was killed may still run.
        for leftover in storage.parent.glob("namenode.part*"):
            shutil.rmtree(leftover, ignore_errors=True)
        part = storage.with_name(f"namenode.part-{uuid.uuid4().hex[:8]}")
        setting = f"-Ddfs.namenode.name.dir={part}"
        tool = [f"{_CLASSES}.namenode.NameNode", setting, "-format", "-nonInteractive"]
        run_tool([*java, *tool], "HDFS cannot be formatted")
        part.rename(storage)


def _check_user() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise ConfigurationError(
            f"HDFS does not run as a user without a name: add user {os.getuid()} to /etc/passwd, "
            "or run this as another user"
        ) from None


def _write_site(path: Path, settings: Mapping[str, object]) -> None:
    entries = (
        f"  <property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in settings.items()
    )
    text = f"<configuration>\n{''.join(entries)}</configuration>\n"
    write_whole(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}')
