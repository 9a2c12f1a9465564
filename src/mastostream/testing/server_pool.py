"""One set of real servers for a whole test run, however many processes run its tests.

pytest-xdist runs tests in several worker processes. The process that begins the run owns the pool:
a folder with a named pipe whose writing end it holds open. Each server gets a host process of its
own, which starts the server, writes down how that went, and waits for the end of the pipe. The
kernel ends the pipe with its owner, even after ``kill -9``: the servers end with the test run. Only
the host itself must not be killed.
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
_LOCK: Final = "hosted"
_LOG: Final = "host.log"
_POLL_S: Final = 0.05
_START_PATIENCE_S: Final = 600.0
"""How long a server may take to start: twice of what its host waits, plus its download."""

_END_PATIENCE_S: Final = 60.0
_SEEN_LINES: Final = 20
_HOST: Final = """\
import pathlib, sys
from mastostream.testing.server_pool import host_server
host_server(pathlib.Path(sys.argv[1]), sys.argv[2])
"""

_QUICK_SESSIONS: Final = {"group.min.session.timeout.ms": 2_000}
"""Consumers may ask for short sessions, so that others soon take over from one that was killed."""

_NEW: Final[Mapping[str, Callable[[Path], Service]]] = {
    "kafka": lambda folder: KafkaServer(folder, port=free_port(), settings=_QUICK_SESSIONS),
    "elasticsearch": lambda folder: ElasticsearchServer(folder, port=free_port()),
    "hdfs": lambda folder: HdfsServer(
        folder, port=(port := free_port()), http_port=free_port((port,))
    ),
    "flink": lambda folder: FlinkCluster(folder, port=free_port()),
}
_KNOWN: Final[Mapping[str, Callable[[Path], Service]]] = {
    "kafka": lambda folder: KafkaServer(folder, settings=_QUICK_SESSIONS),
    "elasticsearch": ElasticsearchServer,
    "hdfs": HdfsServer,
    "flink": FlinkCluster,
}
"""The same servers, found again by the ports in their folders."""


class ServerPool:
    """The servers of one test run: each is started once, by the first process that asks.

    Args:
        folder: of a pool that another process owns; without one this process owns a new pool.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._owned: int | None = None
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="mastostream-servers-"))
            folder.chmod(0o755)  # Elasticsearch may run as another user
            os.mkfifo(folder / _PIPE)
            self._owned = os.open(folder / _PIPE, os.O_RDWR)  # does not wait for a reader
        self.folder = folder

    def start(self, name: str) -> None:
        """Start a server unless it was started before, without waiting for it.

        Args:
            name: ``kafka``, ``elasticsearch``, ``hdfs`` or ``flink``.
        """
        with FileLock(self.folder / ".lock"):
            place = self.folder / name
            if place.exists():
                return
            place.mkdir(mode=0o755)
            try:
                self._start_host(place, name)
            except OSError:
                shutil.rmtree(place)
                raise

    def _start_host(self, place: Path, name: str) -> None:
        """Start a host, which inherits a lock: the kernel gives it back when the host ends."""
        command = (sys.executable, "-c", _HOST, str(self.folder), name)
        with (
            (self.folder / _PIPE).open("rb") as pipe,
            (place / _LOCK).open("wb") as lock,
            (place / _LOG).open("wb") as log,
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
        process.returncode = 0  # It outlives this process on purpose: nothing to warn about.

    def get(self, name: str) -> Service:
        """Return a server that is ready, starting it first where that was not done.

        Raises:
            ConfigurationError: it cannot run here; the message says why.
            RetriableError: it cannot be downloaded, or takes too long to start.
            FatalError: it ended, or its host did; the message holds the last lines of its log.
        """
        self.start(name)
        deadline = time.monotonic() + _START_PATIENCE_S
        outcome = _outcome_path(self.folder, name)
        while not outcome.exists():
            if not _is_hosted(self.folder / name) and not outcome.exists():
                told = "\n  ".join(last_lines(self.folder / name / _LOG, _SEEN_LINES))
                raise FatalError(f"the process that should host {name} has ended:\n  {told}")
            if time.monotonic() > deadline:
                raise RetriableError(f"{name} did not start within {_START_PATIENCE_S:.0f} s")
            time.sleep(_POLL_S)
        error = pickle.loads(outcome.read_bytes())  # noqa: S301 - our own host wrote it
        if error is not None:
            raise error
        return _KNOWN[name](self.folder / name / "server")

    def close(self) -> None:
        """End all servers and remove their data, where this process owns the pool.

        A server that is still starting ends when it has started, after this has returned: whoever
        hosts the last server removes the pool.
        """
        if self._owned is None:
            return
        os.close(self._owned)
        self._owned = None
        deadline = time.monotonic() + _END_PATIENCE_S
        while any(_is_hosted(self.folder / name) for name in _NEW):
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def host_server(pool: Path, name: str) -> None:
    """Run one server of a pool until standard input ends; the last host removes the pool."""
    place = pool / name
    outcome: Exception | None = None
    with ExitStack() as stack:
        try:
            service = _NEW[name](place / "server")
            stack.callback(service.kill)
            service.start()
        except Exception as error:  # noqa: BLE001 - whoever asked for the server raises it
            outcome = error
        try:
            told = pickle.dumps(outcome)
        except Exception:  # noqa: BLE001 - an error that cannot travel travels as text
            told = pickle.dumps(FatalError(f"{name} did not start: {outcome!r}"))
        write_whole(_outcome_path(pool, name), told)
        sys.stdin.read()
    shutil.rmtree(place, ignore_errors=True)
    for path in (_outcome_path(pool, name), pool / _PIPE):
        path.unlink(missing_ok=True)
    if not any((pool / other).exists() for other in _NEW):
        (pool / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # another host removes it just now
            pool.rmdir()


def _is_hosted(place: Path) -> bool:
    """Whether there is a process that hosts a server."""
    try:
        with (place / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # it has never begun, or has cleared up
        return False
    return False


def _outcome_path(pool: Path, name: str) -> Path:
    return pool / f"{name}.outcome"
