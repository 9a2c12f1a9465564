"""Flink: a JobManager and one TaskManager, from the ``apache-flink`` wheel."""

import importlib.util
import json
import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from mastostream.exceptions import FatalError, MissingExtraError
from mastostream.services.java import find_java
from mastostream.services.probing import get_json
from mastostream.services.process import Command, Process
from mastostream.services.service import Ports, Server, Service

__all__ = ["FLINK_PORT", "FlinkCluster"]

FLINK_PORT: Final = 8081
_JAVA_OPTIONS: Final = re.compile(r"^env:\n +java:\n +opts:\n +all: (.+)$", re.MULTILINE)
"""What the distribution's own ``config.yaml`` lets Java do; Flink does not run without."""


class FlinkCluster(Service):
    """A session cluster for one machine.

    Attributes:
        jobmanager: takes and watches jobs.
        taskmanager: runs them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, object] | None = None,
        slots: int = 4,
    ) -> None:
        """Describe it; nothing is started.

        Args:
            folder: for its configuration, its logs and its temporary files.
            port: for clients. Default: as it was, at first 8081.
            settings: of both servers, by Flink's names; they win over all others.
            slots: how many tasks run at once.
        """
        folder = folder.resolve()
        self._settings = dict(settings or {})
        self._slots = slots
        self.jobmanager = Server(
            process=Process("jobmanager", folder),
            ports=lambda: {"flink": ports["flink"]},
            prepare=lambda _: self._prepare("jobmanager"),
            missing=self._jobmanager_missing,
        )
        self.taskmanager = Server(
            process=Process("taskmanager", folder),
            ports=dict,
            prepare=lambda _: self._prepare("taskmanager"),
            missing=self._taskmanager_missing,
        )
        ports = Ports(folder, {"flink": port}, {"flink": FLINK_PORT})
        super().__init__(
            name="flink",
            folder=folder,
            ports=ports,
            servers=[self.jobmanager, self.taskmanager],
            scheme="http://",
        )

    @property
    def _id_path(self) -> Path:
        return self.folder / "taskmanager.id"

    def _jobmanager_missing(self) -> str:
        if get_json(self._ports["flink"], "/overview") is None:
            return "waiting for the JobManager"
        return self._report_missing() if self.taskmanager.pid is not None else ""

    def _taskmanager_missing(self) -> str:
        return self._report_missing() if self.jobmanager.pid is not None else ""

    def _report_missing(self) -> str:
        found = get_json(self._ports["flink"], "/taskmanagers") or {}
        names = [each.get("id") for each in found.get("taskmanagers", [])]
        known = self._id_path.exists() and self._id_path.read_text(encoding="utf-8") in names
        return "" if known else "waiting for the TaskManager to report"

    def _prepare(self, role: Literal["jobmanager", "taskmanager"]) -> Command:
        home = _flink_home()
        java = find_java()
        config = self.folder / "config"
        for name in ("config", "logs", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        for file in ("log4j-console.properties", "logback-console.xml"):
            shutil.copy(home / "conf" / file, config / file)
        if self.jobmanager.pid is None:
            for name in ("jobmanager-rpc", "blob"):
                self._ports.internal(name)
        self._configure(home, config)
        options = []
        if role == "taskmanager":
            # A new name, so that the one before, should it be missed still, is not taken for it.
            name = f"taskmanager-{uuid.uuid4().hex[:8]}"
            self._id_path.write_text(name, encoding="utf-8")
            options = [f"-Dtaskmanager.resource-id={name}"]
        script = str(home / "bin" / f"{role}.sh")
        environment = {
            "JAVA_HOME": str(java.home),
            "FLINK_CONF_DIR": str(config),
            "FLINK_LOG_DIR": str(self.folder / "logs"),
            "FLINK_PID_DIR": str(self.folder / "tmp"),
        }
        arguments = ("bash", script, "start-foreground", *options)
        return Command(arguments=arguments, environment=environment)

    def _configure(self, home: Path, config: Path) -> None:
        """Write the configuration. Each value is written as JSON, which is YAML, too."""
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
            # One that is gone is noticed within 4 s, one that came back as another within 15 s.
            "heartbeat.interval": "2 s",
            "heartbeat.timeout": "15 s",
            "io.tmp.dirs": str(self.folder / "tmp"),
            # Without these it takes the first python of PATH, which may lack what a job needs.
            "python.executable": sys.executable,
            "python.client.executable": sys.executable,
        } | self._settings
        lines = (f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
        (config / "config.yaml").write_text("".join(lines), encoding="utf-8")


def _flink_home() -> Path:
    """Return the folder of the distribution, without importing it."""
    found = importlib.util.find_spec("pyflink")
    places = list(found.submodule_search_locations or ()) if found else []
    if not places or not (Path(places[0]) / "bin" / "jobmanager.sh").exists():
        raise MissingExtraError("Flink", "flink")
    return Path(places[0])
