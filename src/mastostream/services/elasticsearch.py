"""Elasticsearch on this machine: a single node, from Elastic's distribution for tests."""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mastostream.services.downloads import OnProgress, download
from mastostream.services.java import find_java
from mastostream.services.loopback import HOST
from mastostream.services.probing import get_json
from mastostream.services.process import Command, Process, run_tool
from mastostream.services.service import Ports, ServerProcess, Service
from mastostream.services.unprivileged import User, other_user
from mastostream.services.versions import ELASTICSEARCH_VERSION, ELASTICSEARCH_ZIP

__all__ = ["ELASTICSEARCH_PORT", "ElasticsearchServer"]

ELASTICSEARCH_PORT: Final = 9200
_DISTRIBUTION: Final = f"elasticsearch-{ELASTICSEARCH_VERSION}"
_OPTIONS_THAT_WRITE_HOME: Final = ("-Xlog:", "-XX:HeapDumpPath", "-XX:ErrorFile")
"""Java options of the distribution that write into its own folder. They are left out: that
folder is treated as read only."""

_SECURITY_FILES: Final = ("users", "users_roles", "roles.yml", "role_mapping.yml")
"""Configuration files with users and roles. They are not overwritten, so that users and roles that
somebody added stay."""

_DISK_WATERMARK: Final = "cluster.routing.allocation.disk.watermark"


class ElasticsearchServer(Service):
    """An Elasticsearch node for one machine.

    Elasticsearch refuses to run as root. Where root starts it, it runs as the user ``nobody``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, object] | None = None,
        password: str = "",
        heap_mb: int = 512,
    ) -> None:
        """Describe the service; nothing is started.

        Args:
            folder: holds the distribution, the data, the configuration and the logs.
            port: the port for clients. Default: the port of the last start, at first 9200.
            settings: settings of the node by Elasticsearch's names. They win over our own.
            password: the password of the user ``elastic``; it has to be given from the first start
                on. Empty: no security.
            heap_mb: the size of the Java heap, MB.
        """
        folder = folder.resolve()
        self._settings = dict(settings or {})
        self._password = password
        self._heap_mb = heap_mb
        server = ServerProcess(
            process=Process("elasticsearch", folder),
            ports=lambda: {"elasticsearch": ports["elasticsearch"]},
            prepare=self._prepare,
            missing=self._missing,
        )
        ports = Ports(folder, {"elasticsearch": port}, {"elasticsearch": ELASTICSEARCH_PORT})
        super().__init__(
            name="elasticsearch",
            folder=folder,
            ports=ports,
            servers=[server],
            scheme="http://",
        )

    def _missing(self) -> str:
        path = "/_cluster/health"
        health = get_json(self._ports["elasticsearch"], path, self._password)
        if health is None:
            return "waiting for the node"
        return "" if health.get("status") in {"yellow", "green"} else "reading its indices"

    def _prepare(self, on_progress: OnProgress) -> Command:
        java = find_java()
        user = other_user("Elasticsearch", os.geteuid())
        home = self.folder / _DISTRIBUTION
        if user is not None:
            self.folder.chmod(0o755)
            user.check_entry(home, java.executable.resolve())
        if not home.exists():
            _unpack(download(ELASTICSEARCH_ZIP, "zip", on_progress), home)
        config = self.folder / "config"
        config.mkdir(exist_ok=True)
        if user is not None:
            user.take_back(config)
        self._configure(home, config)
        environment = {
            "ES_HOME": str(home),
            "ES_PATH_CONF": str(config),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "ES_JAVA_HOME": str(java.home),
        }
        switch = self._hand_over(user)
        if self._password:
            on_progress("elasticsearch: setting its password", None)
            self._set_password(home, switch, environment)
        arguments = (*switch, str(home / "bin" / "elasticsearch"))
        return Command(arguments=arguments, environment=environment)

    def _configure(self, home: Path, config: Path) -> None:
        """Write the configuration. Each value is written as JSON, which is valid YAML as well."""
        for file in (home / "config").iterdir():
            copy = config / file.name
            if file.is_file() and not (file.name in _SECURITY_FILES and copy.exists()):
                copy.unlink(missing_ok=True)
                shutil.copy(file, copy)
        logs = self.folder / "logs"
        shipped = (home / "config" / "jvm.options").read_text(encoding="utf-8").splitlines()
        options = (
            *(
                line
                for line in shipped
                if not any(name in line for name in _OPTIONS_THAT_WRITE_HOME)
            ),
            f"-Xms{self._heap_mb}m",
            f"-Xmx{self._heap_mb}m",
            f"-XX:HeapDumpPath={logs}",
            f"-XX:ErrorFile={logs}/hs_err_pid%p.log",
        )
        (config / "jvm.options").write_text("\n".join(options), encoding="utf-8")
        settings = {
            "cluster.name": "mastostream",
            "node.name": "mastostream",
            "network.host": HOST,
            "http.port": self._ports["elasticsearch"],
            "transport.port": self._ports.internal("transport"),
            "discovery.type": "single-node",
            "xpack.security.enabled": bool(self._password),
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            # By default Elasticsearch stops writing when 95 % of the disk are used, even if the
            # disk is so large that many gigabytes are free.
            f"{_DISK_WATERMARK}.low": "750mb",
            f"{_DISK_WATERMARK}.high": "500mb",
            f"{_DISK_WATERMARK}.flood_stage": "250mb",
        } | self._settings
        lines = (f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
        (config / "elasticsearch.yml").write_text("".join(lines), encoding="utf-8")

    def _hand_over(self, user: User | None) -> tuple[str, ...]:
        """Make the folders that the server writes; return the prefix that switches to its user."""
        folders = [self.folder / name for name in ("config", "data", "logs", "tmp")]
        if user is not None:
            user.own(*folders)
            return user.switch
        for folder in folders:
            folder.mkdir(exist_ok=True)
        return ()

    def _set_password(
        self, home: Path, switch: tuple[str, ...], environment: Mapping[str, str]
    ) -> None:
        tool = [*switch, str(home / "bin" / "elasticsearch-keystore")]
        failure = "Elasticsearch's password cannot be set"
        if not (self.folder / "config" / "elasticsearch.keystore").exists():
            run_tool([*tool, "create"], failure, environment)
        add = [*tool, "add", "--force", "--stdin", "bootstrap.password"]
        run_tool(add, failure, environment, self._password)


def _unpack(archive: Path, home: Path) -> None:
    """Unpack the distribution completely or not at all, readable for every user."""
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(part)
        for member in zipped.infolist():
            path = part / member.filename
            # The upper 16 bits hold the Unix mode; zipfile does not restore it.
            executable = member.is_dir() or (member.external_attr >> 16) & 0o100
            path.chmod(0o755 if executable else 0o644)
    part.chmod(0o755)
    (part / home.name).rename(home)
    part.rmdir()
