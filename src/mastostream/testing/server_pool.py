"""One set of real servers that all processes of a test run share.

pytest-xdist runs tests in several worker processes. The process that begins the run owns the pool:
a folder with a named pipe whose writing end it holds open. Each server gets its own host process.
The host starts the server, writes a file with the outcome, and reads from the pipe until it ends.
The kernel closes the pipe when its owner ends, even after ``kill -9``, so the servers end with the
test run. A server outlives the test run only if its host process is killed.
"""

import fcntl
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock

from mastostream.exceptions import FatalError, RetriableError
from mastostream.services import (
    ElasticsearchServer,
    FlinkCluster,
    HdfsServer,
    KafkaServer,
    Service,
    free_port,
)
from mastostream.services.atomic_files import write_whole
from mastostream.services.server_logs import last_lines

__all__ = ["ServerPool", "host_server"]

_PIPE: Final = "owner"
"""The named pipe in the pool's folder. Its owner never writes; hosts wait for its end."""

_LOCK: Final = "hosted"
"""The file in a server's folder that its host keeps locked as long as it lives."""

_LOG: Final = "host.log"
"""The output of a server's host process."""

_POLL_S: Final = 0.05
_START_PATIENCE_S: Final = 600.0
"""How long a server may take to start: the host waits 300 s for it, and a download may precede."""

_END_PATIENCE_S: Final = 60.0
"""How long :meth:`ServerPool.close` waits for the hosts."""

_SHOWN_LOG_LINES: Final = 20
_HOST_PROGRAM: Final = """\
import pathlib, sys
from mastostream.testing.server_pool import host_server
host_server(pathlib.Path(sys.argv[1]), sys.argv[2])
"""

_QUICK_SESSIONS: Final = {"group.min.session.timeout.ms": 2_000}
"""Lets consumers use short sessions, so that others soon take over from one that was killed."""

_NEW_SERVERS: Final[Mapping[str, Callable[[Path], Service]]] = {
    "kafka": lambda folder: KafkaServer(folder, port=free_port(), settings=_QUICK_SESSIONS),
    "elasticsearch": lambda folder: ElasticsearchServer(folder, port=free_port()),
    "hdfs": lambda folder: HdfsServer(
        folder, port=(port := free_port()), http_port=free_port((port,))
    ),
    "flink": lambda folder: FlinkCluster(folder, port=free_port()),
}
"""Functions that describe a new server on free ports."""

_RUNNING_SERVERS: Final[Mapping[str, Callable[[Path], Service]]] = {
    "kafka": lambda folder: KafkaServer(folder, settings=_QUICK_SESSIONS),
    "elasticsearch": ElasticsearchServer,
    "hdfs": HdfsServer,
    "flink": FlinkCluster,
}
"""Functions that describe a server that was started before, on the ports kept in its folder."""


class ServerPool:
    """The servers of one test run. The first process that needs a server starts it, only once.

    Args:
        folder: the folder of a pool that another process owns. Without it, a new pool is made,
            which this process owns.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._owned: int | None = None
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="mastostream-servers-"))
            folder.chmod(0o755)  # Elasticsearch may run as another user
            os.mkfifo(folder / _PIPE)
            self._owned = os.open(
                folder / _PIPE, os.O_RDWR
            )  # O_RDWR: opening does not wait for a reader
        self.folder = folder

    def start(self, name: str) -> None:
        """Start a server unless it was started before; return without waiting for it.

        Args:
            name: ``kafka``, ``elasticsearch``, ``hdfs`` or ``flink``.
        """
        with FileLock(self.folder / ".lock"):
            server_folder = self.folder / name
            if server_folder.exists():
                return
            server_folder.mkdir(mode=0o755)
            try:
                self._start_host(server_folder, name)
            except OSError:
                shutil.rmtree(server_folder)
                raise

    def _start_host(self, server_folder: Path, name: str) -> None:
        """Start a host process. It inherits a lock, which the kernel releases when it ends."""
        command = (sys.executable, "-c", _HOST_PROGRAM, str(self.folder), name)
        with (
            (self.folder / _PIPE).open("rb") as pipe,
            (server_folder / _LOCK).open("wb") as lock,
            (server_folder / _LOG).open("wb") as log,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=pipe,
                stdout=log,
                stderr=log,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
        # The host may outlive this process on purpose. This avoids Popen's warning about it.
        process.returncode = 0

    def get(self, name: str) -> Service:
        """Return a server that is ready; start it first if nobody has done so.

        Args:
            name: ``kafka``, ``elasticsearch``, ``hdfs`` or ``flink``.

        Raises:
            ConfigurationError: the server cannot run here; the message says why.
            RetriableError: it cannot be downloaded, or is not ready within 600 s.
            FatalError: the server or its host has ended; the message holds the last lines of the
                log.
        """
        self.start(name)
        deadline = time.monotonic() + _START_PATIENCE_S
        outcome = _outcome_path(self.folder, name)
        while not outcome.exists():
            if not _is_hosted(self.folder / name) and not outcome.exists():
                log_end = "\n  ".join(last_lines(self.folder / name / _LOG, _SHOWN_LOG_LINES))
                raise FatalError(f"the process that should host {name} has ended:\n  {log_end}")
            if time.monotonic() > deadline:
                raise RetriableError(f"{name} did not start within {_START_PATIENCE_S:.0f} s")
            time.sleep(_POLL_S)
        error = pickle.loads(outcome.read_bytes())  # noqa: S301 - our own host wrote it
        if error is not None:
            raise error
        return _RUNNING_SERVERS[name](self.folder / name / "server")

    def close(self) -> None:
        """If this process owns the pool, end all servers and remove their data.

        A server that is still starting ends after it has started. That may be after this method has
        returned; the last host then removes the pool.
        """
        if self._owned is None:
            return
        os.close(self._owned)
        self._owned = None
        deadline = time.monotonic() + _END_PATIENCE_S
        while any(_is_hosted(self.folder / name) for name in _NEW_SERVERS):
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def host_server(pool: Path, name: str) -> None:
    """Run one server of a pool until standard input ends: the main function of a host process.

    The last host that ends removes the pool.

    Args:
        pool: the folder of the pool.
        name: the name of the server.
    """
    server_folder = pool / name
    outcome: Exception | None = None
    with ExitStack() as stack:
        try:
            service = _NEW_SERVERS[name](server_folder / "server")
            stack.callback(service.kill)
            service.start()
        except Exception as error:  # noqa: BLE001 - ServerPool.get raises it in another process
            outcome = error
        try:
            pickled = pickle.dumps(outcome)
        except Exception:  # noqa: BLE001 - an error that cannot be pickled is passed on as text
            pickled = pickle.dumps(FatalError(f"{name} did not start: {outcome!r}"))
        write_whole(_outcome_path(pool, name), pickled)
        sys.stdin.read()
    shutil.rmtree(server_folder, ignore_errors=True)
    for path in (_outcome_path(pool, name), pool / _PIPE):
        path.unlink(missing_ok=True)
    if not any((pool / other).exists() for other in _NEW_SERVERS):
        (pool / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # another host removes it at the same time
            pool.rmdir()


def _is_hosted(server_folder: Path) -> bool:
    """Whether a process that hosts this server is alive."""
    try:
        with (server_folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # it was never started, or has removed its folder
        return False
    return False


def _outcome_path(pool: Path, name: str) -> Path:
    """Return the file with the pickled error of a server's start, or with ``None`` for success."""
    return pool / f"{name}.outcome"
