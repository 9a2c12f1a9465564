"""Flink on this machine: a JobManager and its TaskManagers, from the ``apache-flink`` wheel."""

import contextlib
import importlib.util
import json
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mastostream.exceptions import BusyError, FatalError, MissingExtraError
from mastostream.services.atomic_files import write_whole
from mastostream.services.downloads import OnProgress
from mastostream.services.java import find_java
from mastostream.services.probing import get_json
from mastostream.services.process import Command, Process
from mastostream.services.service import Ports, ServerProcess, Service, silent

__all__ = ["FLINK_PORT", "FlinkCluster"]

FLINK_PORT: Final = 8081
_JAVA_OPTIONS: Final = re.compile(r"^env:\n +java:\n +opts:\n +all: (.+)$", re.MULTILINE)
"""The Java options in the distribution's own ``config.yaml``. They open packages of Java to Flink,
which does not run without them."""


class FlinkCluster(Service):
    """A Flink session cluster for one machine.

    Attributes:
        jobmanager: the server that accepts and supervises jobs.
        taskmanagers: the servers that run the tasks of jobs, at least one.
        taskmanager: the first TaskManager.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, object] | None = None,
        slots: int = 4,
        taskmanagers: int | None = None,
    ) -> None:
        """Describe the service; nothing is started.

        Args:
            folder: holds the configuration, the logs and the temporary files.
            port: the port for clients. Default: the port of the last start, at first 8081.
            settings: settings of all its servers by Flink's names. They win over our own.
            slots: the number of task slots of each TaskManager.
            taskmanagers: the number of TaskManagers. Default: the number of the last start, at
                first 1.
        """
        folder = folder.resolve()
        self._settings = dict(settings or {})
        self._slots = slots
        self._count_path = folder / "taskmanagers"
        self._count = self._kept_count() if taskmanagers is None else taskmanagers
        self.jobmanager = ServerProcess(
            process=Process("jobmanager", folder),
            ports=lambda: {"flink": ports["flink"]},
            prepare=lambda _: self._prepare("jobmanager"),
            missing=self._jobmanager_missing,
        )
        self.taskmanagers = tuple(
            self._taskmanager(f"taskmanager-{number}" if number > 1 else "taskmanager", folder)
            for number in range(1, self._count + 1)
        )
        self.taskmanager = self.taskmanagers[0]
        ports = Ports(folder, {"flink": port}, {"flink": FLINK_PORT})
        super().__init__(
            name="flink",
            folder=folder,
            ports=ports,
            servers=[self.jobmanager, *self.taskmanagers],
            scheme="http://",
        )

    def launch(self, on_progress: OnProgress = silent) -> bool:
        """Start each server that does not run, without waiting; :meth:`wait` has to follow.

        Raises:
            BusyError: the cluster runs with another number of TaskManagers, or on other ports.
        """
        kept = self._kept_count()
        if kept != self._count and any(server.pid for server in FlinkCluster(self.folder).servers):
            raise BusyError(
                f"{self.name} runs with {kept} TaskManagers: end it first with 'mastostream "
                f"services down {self.name}'"
            )
        return super().launch(on_progress)

    def _kept_count(self) -> int:
        """Return the number of TaskManagers of the last start; 1 where it is unknown."""
        with contextlib.suppress(OSError, ValueError):
            return max(1, int(self._count_path.read_text(encoding="ascii")))
        return 1

    def _taskmanager(self, name: str, folder: Path) -> ServerProcess:
        return ServerProcess(
            process=Process(name, folder),
            ports=dict,
            prepare=lambda _: self._prepare(name),
            missing=lambda: self._taskmanager_missing(name),
        )

    def _id_path(self, name: str) -> Path:
        return self.folder / f"{name}.id"

    def _jobmanager_missing(self) -> str:
        if get_json(self._ports["flink"], "/overview") is None:
            return "waiting for the JobManager"
        running = [server.name for server in self.taskmanagers if server.pid is not None]
        return self._report_missing(running)

    def _taskmanager_missing(self, name: str) -> str:
        return self._report_missing([name]) if self.jobmanager.pid is not None else ""

    def _report_missing(self, names: Sequence[str]) -> str:
        if not names:
            return ""
        response = get_json(self._ports["flink"], "/taskmanagers") or {}
        registered = [taskmanager.get("id") for taskmanager in response.get("taskmanagers", [])]
        for name in names:
            path = self._id_path(name)
            if not path.exists() or path.read_text(encoding="utf-8") not in registered:
                return f"waiting for the {name.replace('taskm', 'TaskM')} to report"
        return ""

    def _prepare(self, name: str) -> Command:
        home = _flink_home()
        java = find_java()
        config = self.folder / "config"
        for subfolder in ("config", "logs", "tmp"):
            (self.folder / subfolder).mkdir(exist_ok=True)
        for file in ("log4j-console.properties", "logback-console.xml"):
            write_whole(config / file, (home / "conf" / file).read_text(encoding="utf-8"))
        if self.jobmanager.pid is None:
            write_whole(self._count_path, str(self._count))
            for port_name in ("jobmanager-rpc", "blob"):
                self._ports.internal(port_name)
        self._configure(home, config)
        options, role = [], "jobmanager"
        if name != self.jobmanager.name:
            # Each start gets a new id. The JobManager may still list a TaskManager that has ended,
            # and with the same id it would pass for the new one.
            resource_id = f"{name}-{uuid.uuid4().hex[:8]}"
            write_whole(self._id_path(name), resource_id)
            options, role = [f"-Dtaskmanager.resource-id={resource_id}"], "taskmanager"
        script = str(home / "bin" / f"{role}.sh")
        environment = {
            "JAVA_HOME": str(java.home),
            "FLINK_CONF_DIR": str(config),
            "FLINK_LOG_DIR": str(self.folder / "logs"),
            "FLINK_PID_DIR": str(self.folder / "tmp"),
            # Flink's scripts add it to the class path, and it need not be Hadoop: here it is the
            # jar that runs Python. A job brings that jar as well, but then each job takes 44 MB of
            # the 256 MB of a TaskManager's metaspace, instead of 13 MB.
            "HADOOP_CLASSPATH": str(next((home / "opt").glob("flink-python-*.jar"))),
        }
        arguments = ("bash", script, "start-foreground", *options)
        return Command(arguments=arguments, environment=environment)

    def _configure(self, home: Path, config: Path) -> None:
        """Write the configuration. Each value is written as JSON, which is valid YAML as well."""
        shipped = (home / "conf" / "config.yaml").read_text(encoding="utf-8")
        options = _JAVA_OPTIONS.search(shipped)
        if options is None:
            raise FatalError(
                f"{home}/conf/config.yaml is not that of Flink 2: install "
                "'mastostream[flink]' again"
            )
        local = dict.fromkeys(
            (
                *("jobmanager.rpc.address", "jobmanager.bind-host"),
                *("taskmanager.host", "taskmanager.bind-host"),
                *("rest.address", "rest.bind-address"),
            ),
            "localhost",
        )
        settings = {
            "env.java.opts.all": options[1],
            **local,
            "jobmanager.rpc.port": self._ports["jobmanager-rpc"],
            "blob.server.port": str(self._ports["blob"]),
            "rest.port": self._ports["flink"],
            "jobmanager.memory.process.size": "1600m",
            "taskmanager.memory.process.size": "1728m",
            "taskmanager.numberOfTaskSlots": self._slots,
            # A TaskManager that has ended is noticed within 4 s, one that was replaced by a new one
            # within 15 s.
            "heartbeat.interval": "2 s",
            "heartbeat.timeout": "15 s",
            "io.tmp.dirs": str(self.folder / "tmp"),
            # By default Flink takes the first python of PATH, which may lack packages of a job.
            "python.executable": sys.executable,
            "python.client.executable": sys.executable,
        } | self._settings
        lines = (f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
        write_whole(config / "config.yaml", "".join(lines))


def _flink_home() -> Path:
    """Return the folder of the distribution, without importing it.

    Raises:
        MissingExtraError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("pyflink")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders or not (Path(folders[0]) / "bin" / "jobmanager.sh").exists():
        raise MissingExtraError("Flink", "flink")
    return Path(folders[0])
