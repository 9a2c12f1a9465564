"""Runs one server process that outlives its starter and can be identified reliably later.

The start writes the process id (PID) and the start time that the kernel reports into a record file.
A later command trusts the recorded PID only if the start time agrees, and if the process names the
service's folder in its command line or its environment. Linux reuses PIDs, and a process that was
not started here must never get a signal.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.services.server_logs import last_words

__all__ = ["Command", "Process", "run_tool"]

_PROC: Final = Path("/proc")
_POLL_S: Final = 0.05
_PATIENCE_S: Final = 30.0
"""How long a server may take to end after SIGTERM. On an idle machine each takes less than 1 s."""

_CHILDREN_PATIENCE_S: Final = 3.0
"""How long the other processes of its group may take after the server has ended."""

_KILL_PATIENCE_S: Final = 10.0
"""How long a process may take to disappear after SIGKILL."""

_TOOL_PATIENCE_S: Final = 120.0
"""How long a server's own tool may run."""

_MARK: Final = "MASTOSTREAM_SERVICE"
"""The environment variable that marks a server and its children as started here."""

_INHERITED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"),
)
"""The variables that a server inherits from our environment. None holds a token or a password."""

_RECORD_AND_EXEC: Final = (
    'read -r line < "/proc/$$/stat" && echo "$line" > "$0" && cd "${0%/*}" && exec "$@"'
)
"""Shell script: write our line of ``/proc`` to the record file ``$0``, then become the server.

``exec`` keeps the PID and the start time, so no server ever runs without a record."""


@attrs.frozen(kw_only=True)
class Command:
    """A command line and its environment.

    Attributes:
        arguments: the program and its arguments.
        environment: variables besides those that every server inherits.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class _ProcessStat:
    """The fields of ``/proc/PID/stat`` that are used here; see proc(5).

    Attributes:
        pid: the process id.
        state: one letter; ``Z`` is a zombie: it has ended, and its parent has not noticed yet.
        group: the id of its process group.
        started: when it started, in clock ticks since the machine's boot.
    """

    pid: int
    state: str
    group: int
    started: int


class Process:
    """A named process that keeps its record and its log in a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        """Describe the process; nothing is started, and no file is read.

        Args:
            name: the name of the process, unique in the folder.
            folder: an absolute path. The process's command line should contain it.
        """
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._record_path = folder / f"{name}.process"
        self._folder = folder

    @property
    def pid(self) -> int | None:
        """The process id while it runs; otherwise ``None``."""
        leader = self._leader()
        return None if leader is None else leader.pid

    @property
    def crashed(self) -> bool:
        """Whether it was started and has ended without :meth:`stop` or :meth:`kill`."""
        return self._recorded() is not None and self._leader() is None

    def start(self, command: Command) -> None:
        """Start the process in its own session. The caller has checked that it does not run.

        Its output goes to a new log file. The log of the run before is kept with the suffix ``.1``.

        Raises:
            ConfigurationError: this system has no ``/proc``.
            FatalError: it cannot be started.
        """
        require_proc()
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_name(f"{self.log_path.name}.1"))
        environment = _environment(command.environment) | {_MARK: self._mark}
        shell = ("/bin/sh", "-c", _RECORD_AND_EXEC, str(self._record_path), *command.arguments)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.log_path), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        self._record_path.unlink(missing_ok=True)
        try:
            pid = os.posix_spawn(shell[0], shell, environment, file_actions=actions, setsid=True)
        except OSError as error:
            raise FatalError(f"cannot start {self.name}: {error.strerror}") from error
        while self._recorded() is None and not _has_ended(pid):
            time.sleep(_POLL_S / 10)

    def stop(self, patience_s: float = _PATIENCE_S) -> bool:
        """End the process with SIGTERM, and then all that is left of its group with SIGKILL.

        Args:
            patience_s: how long to wait after SIGTERM, seconds.

        Returns:
            Whether it ran, or had left other processes of its group behind.

        Raises:
            ConfigurationError: the process belongs to another user.
            FatalError: it does not end.
        """
        leader, members = self._leader(), self._members()
        if leader is not None:
            self._signal(leader.pid, signal.SIGTERM)
            _wait_until_ended([leader], patience_s)
            _wait_until_ended(members, min(patience_s, _CHILDREN_PATIENCE_S))
        return self.kill() or leader is not None

    def kill(self) -> bool:
        """End the process and all of its group with SIGKILL.

        Returns:
            Whether anything was left to end.

        Raises:
            ConfigurationError: the process belongs to another user.
            FatalError: it does not end.
        """
        members = self._members()
        for member in members:
            self._signal(member.pid, signal.SIGKILL)
        if not _wait_until_ended(members, _KILL_PATIENCE_S):
            numbers = ", ".join(str(member.pid) for member in members)
            raise FatalError(f"{self.name} (process {numbers}) does not end: see {self.log_path}")
        self._record_path.unlink(missing_ok=True)
        return bool(members)

    @property
    def _mark(self) -> str:
        """The value of the environment variable that marks the process."""
        return f"{self._folder}/{self.name}"

    def _recorded(self) -> _ProcessStat | None:
        try:
            return _parse(self._record_path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None

    def _leader(self) -> _ProcessStat | None:
        """Return the process that was started, if it runs and is really the same one."""
        recorded = self._recorded()
        if recorded is None:
            return None
        return recorded if _is_running(recorded) and self._is_ours(recorded.pid) else None

    def _members(self) -> list[_ProcessStat]:
        """Return the running processes of its process group.

        While the leader runs, these are all processes of the group. After that only those count
        that bear our mark.
        """
        recorded = self._recorded()
        if recorded is None:
            return []
        alive = self._leader() is not None
        current = _read_stat(recorded.pid)
        if not alive and current is not None and current.started != recorded.started:
            return []  # another process has the PID now, so the group is not ours either
        stats = (_read_stat(int(path.name)) for path in _PROC.iterdir() if path.name.isdecimal())
        return [
            stat
            for stat in stats
            if stat is not None
            and stat.group == recorded.pid
            and stat.state != "Z"
            and (alive or self._is_ours(stat.pid))
        ]

    def _is_ours(self, pid: int) -> bool:
        """Whether the process's command line or environment names our folder.

        Both are empty while the process executes another program or ends. Then this returns true:
        the PID and the start time have to be enough.
        """
        with contextlib.suppress(OSError):
            command = (_PROC / str(pid) / "cmdline").read_bytes()
            if os.fsencode(self._folder) in command:
                return True
            environment = (_PROC / str(pid) / "environ").read_bytes()
            if not command and not environment:
                return True
            return os.fsencode(f"{_MARK}={self._mark}") in environment.split(b"\0")
        return False

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise ConfigurationError(
                f"{self.name} (process {pid}) was started by another user: end it as that user"
            ) from None


def run_tool(
    command: Sequence[str],
    failure: str,
    environment: Mapping[str, str] | None = None,
    text: str = "",
) -> None:
    """Run a server's own tool and wait until it has ended.

    Args:
        command: the program and its arguments.
        failure: how the message of an error begins.
        environment: variables besides those that every server inherits.
        text: the tool's standard input.

    Raises:
        FatalError: the tool fails, or takes longer than 120 s; the message has its last output.
    """
    try:
        subprocess.run(  # noqa: S603 - paths and options, no shell
            command,
            check=True,
            capture_output=True,
            input=text.encode(),
            timeout=_TOOL_PATIENCE_S,
            env=_environment(environment or {}),
        )
    except subprocess.CalledProcessError as error:
        output = "\n  ".join(last_words(error.stdout + error.stderr))
        raise FatalError(f"{failure}:\n  {output}") from error
    except subprocess.TimeoutExpired as error:
        raise FatalError(f"{failure}: no end after {_TOOL_PATIENCE_S:.0f} s") from error


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # Java decodes a path that is not ASCII as UTF-8 only if the locale uses UTF-8.
    return inherited | {"LC_ALL": "C.UTF-8"} | dict(extra)


def require_proc() -> None:
    """Check that processes can be identified on this system.

    Raises:
        ConfigurationError: this system has no ``/proc``.
    """
    if not (_PROC / "self" / "stat").exists():
        raise ConfigurationError(
            "starting servers needs Linux (its /proc): elsewhere use compose.yaml with Docker"
        )


def _wait_until_ended(stats: Sequence[_ProcessStat], patience_s: float) -> bool:
    """Wait until these processes have ended and so released their ports; return whether they did.

    Only PID and start time are compared: a process that is ending has no command line and no
    environment any more.
    """
    deadline = time.monotonic() + patience_s
    for stat in stats:
        while _is_running(stat):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
    return True


def _read_stat(pid: int) -> _ProcessStat | None:
    """Read what the kernel says of a process; ``None`` if there is none."""
    try:
        return _parse((_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _parse(stat: str) -> _ProcessStat | None:
    """Parse the line of ``/proc/PID/stat``; the program's name in parentheses may hold anything."""
    number, _, rest = stat.partition(" (")
    fields = rest.rpartition(") ")[2].split()
    if not number.isdecimal() or len(fields) < 20:
        return None
    return _ProcessStat(
        pid=int(number), state=fields[0], group=int(fields[2]), started=int(fields[19])
    )


def _is_running(process: _ProcessStat) -> bool:
    """Whether this very process runs, and not another one with the same PID."""
    current = _read_stat(process.pid)
    return (
        current is not None and current.started == process.started and not _has_ended(process.pid)
    )


def _has_ended(pid: int) -> bool:
    """Whether a process has ended. If it was our own child, its exit status is collected."""
    stat = _read_stat(pid)
    if stat is not None and stat.state != "Z":
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True
