"""A service: one or several servers that are started, watched and ended together."""

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
PATIENCE_S: Final = 300.0
"""How long a server may take to get ready. On two cores Elasticsearch took 8 s; 45 s while others
were busy there, too."""

_UNFIT: Final = re.compile(r"""[':,;$`\\"*?%=<>|{}\[\]\x00-\x1f\x7f]""")
"""In a path: they separate lists in Java's and the servers' settings, or mean something to bash.
Of the others tried were letters that are not ASCII, spaces and ``()&#@!~+``."""

_POLL_S: Final = 0.1
_SEEN_LINES: Final = 200


def silent(_: str, __: float | None = None) -> None:
    """Tell nobody what goes on."""


class Ports:
    """The ports of a service, kept in its folder so that any command finds it again.

    A port that is not chosen now stays what it was; one that nobody ever chose is the default, or
    any free one where there is none.
    """

    def __init__(
        self, folder: Path, chosen: Mapping[str, int | None], defaults: Mapping[str, int]
    ) -> None:
        self._path = folder / "ports.json"
        self._defaults = dict(defaults)
        self._chosen = {name: port for name, port in chosen.items() if port is not None}

    def __getitem__(self, name: str) -> int:
        """Return a port that is known: chosen, kept or the default.

        Raises:
            KeyError: it has none of them.
        """
        return (self._defaults | self.kept() | self._chosen)[name]

    def internal(self, name: str) -> int:
        """Return a port that only the servers use, a free one if the kept one is taken."""
        kept = self.kept()
        if name not in kept or not is_free(kept[name]):
            self._keep(kept | {name: free_port(tuple(kept.values()))})
        return self.kept()[name]

    def settle(self) -> None:
        """Write down the ports that were chosen."""
        self._keep(self._defaults | self.kept() | self._chosen)

    def differ(self) -> bool:
        """Whether others were chosen than those that are kept."""
        kept = self.kept()
        return any(kept.get(name) != port for name, port in self._chosen.items())

    def kept(self) -> dict[str, int]:
        """Return what stands in the folder; nothing where it is unreadable."""
        try:
            found = json.loads(self._path.read_bytes())
            return {str(name): int(port) for name, port in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _keep(self, ports: Mapping[str, int]) -> None:
        write_whole(self._path, json.dumps(ports))


class ServerProcess:
    """One process of a service."""

    def __init__(
        self,
        *,
        process: Process,
        ports: Callable[[], Mapping[str, int]],
        prepare: Callable[[OnProgress], Command],
        missing: Callable[[], str],
        least_space_bytes: int = LEAST_SPACE_BYTES,
    ) -> None:
        """Describe it; nothing is started.

        Args:
            process: what runs.
            ports: where clients will reach it, by the names of ports.
            prepare: gets what it needs, writes its configuration, and returns what to run.
            missing: what it still lacks to be used; empty when it is ready.
            least_space_bytes: what has to be free on its disk.
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
        """Where its output goes."""
        return self._process.log_path

    @property
    def pid(self) -> int | None:
        """Its number while it runs."""
        return self._process.pid

    @property
    def state(self) -> State:
        """What it is doing; it is asked over its own protocol."""
        if self.pid is None:
            return "crashed" if self._process.crashed else "stopped"
        return "starting" if self._missing() else "running"

    def start(self, on_progress: OnProgress = silent) -> bool:
        """Start it, unless it runs, and wait until it is ready.

        Returns:
            Whether it was started.

        Raises:
            ConfigurationError: there is no Java, a port is taken, or similar: it says what to do.
            RetriableError: no network, no space, or it takes too long.
            FatalError: it ended; the message holds the last lines of its log.
        """
        started = self.launch(on_progress)
        self.wait(on_progress)
        return started

    def launch(self, on_progress: OnProgress = silent) -> bool:
        """Start it, unless it runs, without waiting; :meth:`wait` has to follow."""
        if self.pid is not None:
            return False
        self._process.kill()  # what a leader that crashed may have left
        self._check_space()
        for name, port in self._ports().items():
            check_free(name, port)
        command = self._prepare(on_progress)
        on_progress(f"{self.name}: starting", None)
        self._process.start(command)
        return True

    def wait(self, on_progress: OnProgress = silent, patience_s: float = PATIENCE_S) -> None:
        """Wait until it is ready.

        Raises:
            RetriableError: it takes longer than that; it goes on.
            FatalError: it ended; the message holds the last lines of its log.
        """
        deadline = time.monotonic() + patience_s
        while True:
            missing = self._missing()
            if self.pid is None:
                said = "\n".join(last_lines(self.log_path, _SEEN_LINES)).encode()
                told = "\n  ".join(last_words(said))
                raise FatalError(
                    f"{self.name} ended while it was starting; its log, {self.log_path}, ends "
                    f"with:\n  {told}"
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
        """End it in good order; its data stays. Returns whether it ran."""
        return self._process.stop()

    def kill(self) -> bool:
        """End it at once, as a crash would; its data stays. Returns whether it ran."""
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
    """Servers that make up one address. Only one process at a time changes its state."""

    def __init__(  # noqa: PLR0913 - what a service is, by name
        self,
        *,
        name: str,
        folder: Path,
        ports: Ports,
        servers: Sequence[ServerProcess],
        scheme: str = "",
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Describe it; nothing is started.

        Args:
            name: also of its main port.
            folder: of all that it keeps.
            ports: where it listens.
            servers: in the order in which they are started.
            scheme: what its address begins with as a URL.
            patience_s: how long a server may take to get ready, and another command to end.
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
        """The address as clients want it: with ``hdfs://`` or ``http://``, of Kafka without."""
        return f"{self._scheme}{self.address}"

    @property
    def log_path(self) -> Path:
        """The log of its first server."""
        return self.servers[0].log_path

    @property
    def state(self) -> State:
        """``running`` where all of it is; else what the first that is not is doing."""
        states = [server.state for server in self.servers]
        return next((state for state in states if state != "running"), "running")

    def start(self, on_progress: OnProgress = silent) -> bool:
        """Start what does not run, and wait until all is ready.

        Returns:
            Whether anything was started.

        Raises:
            ConfigurationError: there is no Java, a port is taken, or similar: it says what to do.
            RetriableError: no network, no space, or it takes too long.
            FatalError: a server ended; the message holds the last lines of its log.
        """
        started = self.launch(on_progress)
        self.wait(on_progress)
        return started

    def launch(self, on_progress: OnProgress = silent) -> bool:
        """Start what does not run, without waiting; :meth:`wait` has to follow."""
        with self._alone():
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
        """Wait until all of it is ready."""
        for server in self.servers:
            server.wait(on_progress, self._patience_s)

    def stop(self) -> bool:
        """End it in good order, the last server first; data stays. Returns whether any ran."""
        with self._alone():
            ended = [server.stop() for server in reversed(self.servers)]
        return any(ended)

    def kill(self) -> bool:
        """End it at once, as a crash would; data stays. Returns whether any ran."""
        with self._alone():
            ended = [server.kill() for server in reversed(self.servers)]
        return any(ended)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder, which is made where it is missing."""
        unfit = _UNFIT.search(str(self.folder))
        if unfit is not None:
            raise ConfigurationError(
                f"the servers cannot work in {str(self.folder)!r}, as its path holds "
                f"{unfit[0]!r}: choose another --folder"
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
