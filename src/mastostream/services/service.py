"""A service: one or more server processes that are started, watched and stopped together."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout

from mastostream.exceptions import BusyError, ConfigurationError, FatalError, RetriableError
from mastostream.services.atomic_files import write_whole
from mastostream.services.downloads import OnProgress
from mastostream.services.loopback import check_free, free_port, is_free
from mastostream.services.process import Command, Process
from mastostream.services.server_logs import last_lines, last_words

__all__ = ["Ports", "ServerProcess", "Service", "State", "silent"]

State = Literal["stopped", "starting", "running", "crashed"]

LEAST_SPACE_BYTES: Final = 10**9
"""Free disk space that a server needs to start, if it does not say another number."""

PATIENCE_S: Final = 300.0
"""How long a server may take until it is ready. Measured on two cores: Elasticsearch took 8 s, and
45 s while other programs were busy."""

_UNUSABLE_IN_PATH: Final = re.compile(r"""[':,;$`\\"*?%=<>|{}\[\]\x00-\x1f\x7f]""")
"""Characters that the path of a service's folder must not contain.

They separate lists in settings of Java and of the servers, or have a meaning in bash. These were
tried and work: letters that are not ASCII, spaces and ``()&#@!~+``."""

_POLL_S: Final = 0.1
_EXAMINED_LOG_LINES: Final = 200
"""The message about a server that has ended is taken from this many last lines of its log."""


def silent(_: str, __: float | None = None) -> None:
    """Ignore progress: the default for ``on_progress``."""


class Ports:
    """The ports of a service, kept in its folder so that any later command finds the service.

    A port is the first of these that exists: the number that is chosen now, the number that is kept
    in the folder, the default.
    """

    def __init__(
        self, folder: Path, chosen: Mapping[str, int | None], defaults: Mapping[str, int]
    ) -> None:
        """Describe the ports; nothing is written.

        Args:
            folder: the folder of the service.
            chosen: port numbers by name; ``None`` where the caller makes no choice.
            defaults: port numbers by name, for the first start.
        """
        self._path = folder / "ports.json"
        self._defaults = dict(defaults)
        self._chosen = {name: port for name, port in chosen.items() if port is not None}

    def __getitem__(self, name: str) -> int:
        """Return the number of a port.

        Raises:
            KeyError: it is neither chosen nor kept, and has no default.
        """
        return (self._defaults | self.kept() | self._chosen)[name]

    def internal(self, name: str) -> int:
        """Return a port that only the servers use.

        If none is kept, or another process listens on it, choose a free one and keep that.

        Raises:
            BusyError: no free port was found.
        """
        kept = self.kept()
        if name not in kept or not is_free(kept[name]):
            self._keep(kept | {name: free_port(tuple(kept.values()))})
        return self.kept()[name]

    def settle(self) -> None:
        """Write the current ports into the folder."""
        self._keep(self._defaults | self.kept() | self._chosen)

    def differ(self) -> bool:
        """Whether a port was chosen that differs from the one that is kept."""
        kept = self.kept()
        return any(kept.get(name) != port for name, port in self._chosen.items())

    def kept(self) -> dict[str, int]:
        """Return the ports that are kept in the folder; none if the file cannot be read."""
        try:
            ports = json.loads(self._path.read_bytes())
            return {str(name): int(port) for name, port in ports.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _keep(self, ports: Mapping[str, int]) -> None:
        write_whole(self._path, json.dumps(ports))


class ServerProcess:
    """One server of a service: how its process is prepared, started, watched and stopped."""

    def __init__(
        self,
        *,
        process: Process,
        ports: Callable[[], Mapping[str, int]],
        prepare: Callable[[OnProgress], Command],
        missing: Callable[[], str],
        least_space_bytes: int = LEAST_SPACE_BYTES,
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            process: the process that runs the server.
            ports: returns the ports that clients use, by name. They have to be free at the start.
            prepare: downloads what the server needs, writes its configuration, and returns the
                command that runs it.
            missing: asks the server, and returns what it still waits for; ``""`` when it is ready.
            least_space_bytes: free space that its disk must have at the start.
        """
        self._least_space_bytes = least_space_bytes
        self._process = process
        self._ports = ports
        self._prepare = prepare
        self._missing = missing

    @property
    def name(self) -> str:
        return self._process.name

    @property
    def log_path(self) -> Path:
        """The file that gets its output."""
        return self._process.log_path

    @property
    def pid(self) -> int | None:
        """The process id while it runs; otherwise ``None``."""
        return self._process.pid

    @property
    def state(self) -> State:
        """The state of the server: it is asked over its own protocol whether it is ready."""
        if self.pid is None:
            return "crashed" if self._process.crashed else "stopped"
        return "starting" if self._missing() else "running"

    def start(self, on_progress: OnProgress = silent) -> bool:
        """Start the server unless it runs, and wait until it is ready.

        Returns:
            Whether it was started.

        Raises:
            ConfigurationError: it cannot run here, for example without Java or because a port is
                taken; the message says what to do.
            RetriableError: no network, no disk space, or the server is not ready in time.
            FatalError: the server has ended; the message holds the last lines of its log.
        """
        started = self.launch(on_progress)
        self.wait(on_progress)
        return started

    def launch(self, on_progress: OnProgress = silent) -> bool:
        """Start the server unless it runs; return whether it was started.

        This does not wait until the server is ready: :meth:`wait` has to follow.

        Raises:
            ConfigurationError, RetriableError, FatalError: see :meth:`start`.
        """
        if self.pid is not None:
            return False
        self._process.kill()  # a leader that crashed may have left other processes of its group
        self._check_space()
        for name, port in self._ports().items():
            check_free(name, port)
        command = self._prepare(on_progress)
        on_progress(f"{self.name}: starting", None)
        self._process.start(command)
        return True

    def wait(self, on_progress: OnProgress = silent, patience_s: float = PATIENCE_S) -> None:
        """Wait until the server is ready.

        Args:
            on_progress: called at each check with what is missing.
            patience_s: how long to wait, seconds.

        Raises:
            RetriableError: it is not ready in time. The server goes on running.
            FatalError: the server has ended; the message holds the last lines of its log.
        """
        deadline = time.monotonic() + patience_s
        while True:
            missing = self._missing()
            if self.pid is None:
                log_end = "\n".join(last_lines(self.log_path, _EXAMINED_LOG_LINES)).encode()
                cause = "\n  ".join(last_words(log_end))
                raise FatalError(
                    f"{self.name} ended while it was starting; its log, {self.log_path}, ends "
                    f"with:\n  {cause}"
                )
            if not missing:
                on_progress(f"{self.name}: ready", 1.0)
                return
            if time.monotonic() > deadline:
                raise RetriableError(
                    f"{self.name} is not ready after {patience_s:.0f} s ({missing}): look into "
                    f"{self.log_path}; it goes on, and the same command waits again"
                )
            on_progress(f"{self.name}: {missing}", None)
            time.sleep(_POLL_S)

    def stop(self) -> bool:
        """End the server with SIGTERM; its data stays. Returns whether it ran."""
        return self._process.stop()

    def kill(self) -> bool:
        """End the server with SIGKILL, as a crash would; its data stays. Returns whether it ran."""
        return self._process.kill()

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.log_path.parent).free
        if free < self._least_space_bytes:
            raise RetriableError(
                f"the disk is nearly full: {free / 1e6:.0f} MB are free where "
                f"{self.log_path.parent} is, and {self.name} needs "
                f"{self._least_space_bytes / 1e6:.0f} MB: free some, or choose another --folder"
            )


class Service:
    """One or more servers that clients reach under one address.

    Several processes may hold the same service. A file lock in its folder makes sure that only one
    of them at a time starts or stops it.
    """

    def __init__(  # noqa: PLR0913 - all are given by name
        self,
        *,
        name: str,
        folder: Path,
        ports: Ports,
        servers: Sequence[ServerProcess],
        scheme: str = "",
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Describe the service; nothing is started.

        Args:
            name: the name of the service, and of its main port.
            folder: holds everything that the service keeps.
            ports: the ports that it listens on.
            servers: its servers, in the order in which they are started.
            scheme: the prefix of its URL, such as ``http://``; empty for none.
            patience_s: how long to wait until a server is ready, and for another command that
                holds the lock, seconds.
        """
        self.name = name
        self.folder = folder
        self.servers = tuple(servers)
        self._ports = ports
        self._scheme = scheme
        self._patience_s = patience_s

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"localhost:{self._ports[self.name]}"

    @property
    def url(self) -> str:
        """The address with its scheme, ``hdfs://`` or ``http://``; for Kafka without a scheme."""
        return f"{self._scheme}{self.address}"

    @property
    def log_path(self) -> Path:
        """The log of its first server."""
        return self.servers[0].log_path

    @property
    def state(self) -> State:
        """``running`` if all servers are; otherwise the state of the first one that is not."""
        states = [server.state for server in self.servers]
        return next((state for state in states if state != "running"), "running")

    def start(self, on_progress: OnProgress = silent) -> bool:
        """Start each server that does not run, and wait until all are ready.

        Returns:
            Whether any server was started.

        Raises:
            ConfigurationError: a server cannot run here, for example without Java or because a
                port is taken; the message says what to do.
            RetriableError: no network, no disk space, or a server is not ready in time.
            FatalError: a server has ended; the message holds the last lines of its log.
        """
        started = self.launch(on_progress)
        self.wait(on_progress)
        return started

    def launch(self, on_progress: OnProgress = silent) -> bool:
        """Start each server that does not run; return whether any was started.

        This does not wait until they are ready: :meth:`wait` has to follow.

        Raises:
            BusyError: a server runs on other ports than those that were chosen now, or another
                command has been starting or ending the service for too long.
            ConfigurationError, RetriableError, FatalError: see :meth:`start`.
        """
        with self._locked():
            if any(server.pid for server in self.servers):
                if self._ports.differ():
                    raise BusyError(
                        f"{self.name} runs on other ports, {self._ports.kept()}: end it first "
                        f"with 'mastostream services down {self.name}'"
                    )
            else:
                self._ports.settle()
            started = [server.launch(on_progress) for server in self.servers]
        return any(started)

    def wait(self, on_progress: OnProgress = silent) -> None:
        """Wait until all servers are ready; raises what :meth:`ServerProcess.wait` raises."""
        for server in self.servers:
            server.wait(on_progress, self._patience_s)

    def stop(self) -> bool:
        """End all servers with SIGTERM, the last one first; return whether any ran. Data stays."""
        with self._locked():
            ended = [server.stop() for server in reversed(self.servers)]
        return any(ended)

    def kill(self) -> bool:
        """End all servers with SIGKILL, as a crash would; return whether any ran. Data stays."""
        with self._locked():
            ended = [server.kill() for server in reversed(self.servers)]
        return any(ended)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder; the folder is made if it is missing."""
        unusable = _UNUSABLE_IN_PATH.search(str(self.folder))
        if unusable is not None:
            raise ConfigurationError(
                f"the servers cannot work in {str(self.folder)!r}, as its path holds "
                f"{unusable[0]!r}: choose another --folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=self._patience_s):
                yield
        except Timeout:
            raise BusyError(
                f"another command has been starting or ending {self.name} in {self.folder} for "
                f"{self._patience_s:.0f} s: wait for it, or end it"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"cannot use {error.filename or self.folder} ({error.strerror or error}): check "
                "its permissions and the space there, or choose another --folder"
            ) from error
