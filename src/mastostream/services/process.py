"""One process that outlives the one that started it, and is found again without a doubt.

Who starts a server writes down its number and the moment at which the kernel says it began. Who
looks for it later believes the number only where that moment, and a command line or an environment
that name its folder, agree: numbers are used again, and a process that was not started here is
never touched.
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
"""How long a server may take to end by itself. Each takes less than 1 s on an idle machine."""

_REST_PATIENCE_S: Final = 3.0
"""How long what it started may take after it."""

_KILL_PATIENCE_S: Final = 10.0
_TOOL_PATIENCE_S: Final = 120.0
_MARK: Final = "MASTOSTREAM_SERVICE"
_INHERITED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"),
)
"""What a server gets of our environment: no token, no password."""

_WRITE_DOWN: Final = (
    'read -r line < "/proc/$$/stat" && echo "$line" > "$0" && cd "${0%/*}" && exec "$@"'
)
"""The shell becomes the server, so that there is no moment at which a server runs unrecorded."""


@attrs.frozen(kw_only=True)
class Command:
    """What to run.

    Attributes:
        arguments: the program and its arguments.
        environment: what it gets besides the common variables.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class _Fact:
    """What ``/proc/PID/stat`` says: see proc(5)."""

    pid: int
    state: str
    group: int
    started: int


class Process:
    """A process of this name, which keeps its record and its log in a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        """Name it; nothing is started or looked for yet.

        Args:
            name: unique in the folder.
            folder: absolute, and part of the process's command line.
        """
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._record_path = folder / f"{name}.process"
        self._folder = folder

    @property
    def pid(self) -> int | None:
        """Its number while it runs."""
        found = self._leader()
        return None if found is None else found.pid

    @property
    def crashed(self) -> bool:
        """Whether it was started, and ended without having been asked to."""
        return self._recorded() is not None and self._leader() is None

    def start(self, command: Command) -> None:
        """Start it, in a session of its own. The caller has made sure that it does not run.

        Its output goes to a new log file; the one before is kept as ``.1``.

        Raises:
            FatalError: it cannot be started.
        """
        require_proc()
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_name(f"{self.log_path.name}.1"))
        environment = _environment(command.environment) | {_MARK: self._mark}
        shell = ("/bin/sh", "-c", _WRITE_DOWN, str(self._record_path), *command.arguments)
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
        while self._recorded() is None and not _ended(pid):
            time.sleep(_POLL_S / 10)

    def stop(self, patience_s: float = _PATIENCE_S) -> bool:
        """End it with SIGTERM, and with SIGKILL what is left after so long.

        Returns:
            Whether it ran.

        Raises:
            ConfigurationError: it belongs to another user.
            FatalError: it does not end.
        """
        leader, members = self._leader(), self._members()
        if leader is not None:
            self._signal(leader.pid, signal.SIGTERM)
            _wait_until_gone([leader], patience_s)
            _wait_until_gone(members, min(patience_s, _REST_PATIENCE_S))
        return self.kill() or leader is not None

    def kill(self) -> bool:
        """End it, and all that it started, with SIGKILL.

        Returns:
            Whether anything was left to end.

        Raises:
            ConfigurationError: it belongs to another user.
            FatalError: it does not end.
        """
        members = self._members()
        for each in members:
            self._signal(each.pid, signal.SIGKILL)
        if not _wait_until_gone(members, _KILL_PATIENCE_S):
            numbers = ", ".join(str(each.pid) for each in members)
            raise FatalError(f"{self.name} (process {numbers}) does not end: see {self.log_path}")
        self._record_path.unlink(missing_ok=True)
        return bool(members)

    @property
    def _mark(self) -> str:
        return f"{self._folder}/{self.name}"

    def _recorded(self) -> _Fact | None:
        try:
            return _parse(self._record_path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None

    def _leader(self) -> _Fact | None:
        """The process that was started, if it runs and is really that one."""
        recorded = self._recorded()
        if recorded is None:
            return None
        return recorded if _lives(recorded) and self._ours(recorded.pid) else None

    def _members(self) -> list[_Fact]:
        """Its process group: all of it while its leader lives, else those that bear our mark."""
        recorded = self._recorded()
        if recorded is None:
            return []
        alive = self._leader() is not None
        found = _fact(recorded.pid)
        if not alive and found is not None and found.started != recorded.started:
            return []  # the number is somebody else's now, and so is the group
        facts = (_fact(int(path.name)) for path in _PROC.iterdir() if path.name.isdecimal())
        return [
            each
            for each in facts
            if each is not None
            and each.group == recorded.pid
            and each.state != "Z"
            and (alive or self._ours(each.pid))
        ]

    def _ours(self, pid: int) -> bool:
        """Whether its command line or its environment, inherited from us, names the folder.

        Both are empty while it becomes another program, or ends: its number and its start have to
        do then.
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
    """Run a server's own tool to its end, and give it this text to read.

    Raises:
        FatalError: it fails; the message says how.
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
        told = "\n  ".join(last_words(error.stdout + error.stderr))
        raise FatalError(f"{failure}:\n  {told}") from error
    except subprocess.TimeoutExpired as error:
        raise FatalError(f"{failure}: no end after {_TOOL_PATIENCE_S:.0f} s") from error


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    # Java reads a path that is not ASCII as UTF-8 only where the locale is.
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8"} | dict(own)


def require_proc() -> None:
    """Make sure that processes can be told apart here.

    Raises:
        ConfigurationError: this system has no ``/proc``.
    """
    if not (_PROC / "self" / "stat").exists():
        raise ConfigurationError(
            "starting servers needs Linux (its /proc): elsewhere use compose.yaml with Docker"
        )


def _wait_until_gone(facts: Sequence[_Fact], patience_s: float) -> bool:
    """Return whether these have ended, and let go of their ports, in time.

    One that is ending has neither command line nor environment, so it is told by its number.
    """
    deadline = time.monotonic() + patience_s
    for each in facts:
        while _lives(each):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
    return True


def _fact(pid: int) -> _Fact | None:
    try:
        return _parse((_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _parse(stat: str) -> _Fact | None:
    """Read a line of ``stat``; the name in parentheses may hold anything."""
    number, _, rest = stat.partition(" (")
    fields = rest.rpartition(") ")[2].split()
    if not number.isdecimal() or len(fields) < 20:
        return None
    return _Fact(pid=int(number), state=fields[0], group=int(fields[2]), started=int(fields[19]))


def _lives(known: _Fact) -> bool:
    found = _fact(known.pid)
    return found is not None and found.started == known.started and not _ended(known.pid)


def _ended(pid: int) -> bool:
    """Whether it has ended; our own child is let go then."""
    found = _fact(pid)
    if found is not None and found.state != "Z":
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True
