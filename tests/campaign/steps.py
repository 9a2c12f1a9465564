"""The tiers of tests that run on a break, one after the other, until one goes red.

A test that goes red runs once more alone. If it passes then, it is not steady: it is noted, and the
tier runs again without it. After three such runs the tier counts as green, so that a break does not
count as caught by chance.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from .copies import environment_folder

__all__ = ["DEFAULT_INTEGRATION", "Outcome", "Tier", "mirror_tests", "run_tiers", "tiers_for"]

DEFAULT_INTEGRATION = (
    'pytest -x -m "not campaign" tests/integration -n 3 --dist=loadfile --no-loadscope-reorder'
)

# Only rules that find defects: rules of style would find how a mutation is written.
_RUFF = ("ruff", "check", "--no-cache", "--quiet", "--output-format=concise")
_RUFF_RULES = ("--select=E9,F,PLE", "src")
_NO_TESTS = 5
"""Exit code of pytest where it finds no tests."""

_MAX_UNSTEADY_RUNS = 3
_END_TIMEOUT_S = 60.0
"""How long processes may take to end after they were asked to."""

_RERUN_TIMEOUT_S = 240
"""How long a test may take when it runs once more alone, in seconds."""

_MARK = "MASTOSTREAM_CAMPAIGN_COPY"
"""Environment variable by which the processes of a copy are found."""


@attrs.frozen
class Tier:
    """A group of commands that run one after the other.

    Attributes:
        name: name of the tier in the table.
        commands: programs of the environment, with their arguments.
        bound_s: time limit of one command, in seconds.
    """

    name: str
    commands: Sequence[Sequence[str]]
    bound_s: float


@attrs.frozen
class Outcome:
    """The outcome of a break.

    Attributes:
        tier: name of the tier that went red; ``None`` where none did.
        test: name of the test that went red, or the message of a tool.
        unsteady: tests that were red once and green when they ran again.
    """

    tier: str | None
    test: str
    unsteady: Sequence[str] = ()


def mirror_tests(root: Path, path: Path) -> list[str]:
    """Return the unit tests nearest to a source file, relative to the root; empty where none are.

    ``tests/unit`` mirrors the package. The tests of ``log/kafka/topics.py`` are in
    ``log/test_kafka_topics.py``; without that file they are all of ``log/test_kafka_*.py`` and
    ``log/kafka/``, and without any of these, all of ``log/``.
    """
    *folders, name = path.relative_to("src/mastostream").with_suffix("").parts
    names = [*folders, name] if name != "__init__" else folders
    unit = root / "tests/unit"
    for depth in range(len(names), 0, -1):
        for folders_kept in range(depth - 1, -1, -1):
            folder = unit.joinpath(*names[:folders_kept])
            stem = "_".join(names[folders_kept:depth])
            tests = (
                *folder.glob(f"test_{stem}.py"),
                *sorted(folder.glob(f"test_{stem}_*.py")),
                *sorted(folder.joinpath(stem).rglob("test_*.py")),
            )
            if tests:
                return [str(test.relative_to(root)) for test in tests]
    return []


def tiers_for(root: Path, path: Path, *, integration: str, scale: float = 1.0) -> list[Tier]:
    """Return the tiers for a break in this file, cheapest first.

    Args:
        root: root folder of the project.
        path: path of the file, relative to the root.
        integration: command of the integration tests; an empty text leaves them out.
        scale: factor of all time limits.
    """
    pytest = ("pytest", "-q", "-x")
    mirror = mirror_tests(root, path)
    tiers = [
        Tier("unit tests of the module", [(*pytest, *mirror)] if mirror else [], 900 * scale),
        Tier("types and names", [(*_RUFF, *_RUFF_RULES), ("mypy",)], 900 * scale),
        Tier("all unit tests", [(*pytest, "-n", "2")], 2_400 * scale),
    ]
    if integration:
        tiers.append(Tier("integration", [shlex.split(integration)], 7_200 * scale))
    return tiers


def run_tiers(project: Path, tiers: Sequence[Tier]) -> Outcome:
    """Run tiers in a copy of the project until one goes red; return the outcome."""
    unsteady: list[str] = []
    for tier in tiers:
        for command in tier.commands:
            red = _red(project, command, tier.bound_s, unsteady)
            if red is not None:
                return Outcome(tier.name, red, unsteady)
    return Outcome(None, "", unsteady)


def _red(project: Path, command: Sequence[str], bound_s: float, unsteady: list[str]) -> str | None:
    """Return the test of a command that goes red, or a message; ``None`` where none does."""
    for _ in range(_MAX_UNSTEADY_RUNS):
        log = project / "tmp" / "campaign.log"
        failed = project / ".pytest_cache/v/cache/lastfailed"
        failed.unlink(missing_ok=True)
        code = _run(project, command, bound_s, log, unsteady)
        if code in {0, _NO_TESTS}:
            return None
        if code is None:
            return f"timed out after {bound_s:.0f} s"
        tests = list(json.loads(failed.read_bytes())) if failed.exists() else []
        if not tests:
            return _last_line(log)
        rerun = ("pytest", "-q", f"--timeout={_RERUN_TIMEOUT_S}", *tests)
        if _run(project, rerun, bound_s, log, ()) != 0:
            return str(tests[0])
        unsteady += tests
    return None


def _run(
    project: Path, command: Sequence[str], bound_s: float, log: Path, without: Sequence[str]
) -> int | None:
    """Run a command; return its exit code, or ``None`` where it did not end in time."""
    options = " ".join(f"--deselect={shlex.quote(test)}" for test in without)
    environment = _environment(project) | {"PYTEST_ADDOPTS": options}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return process.wait(bound_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # pytest then ends the servers that it has started
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
        return None
    finally:
        for left in _processes_of(project, hosts=False):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.wait()
        _await_hosts(project)


def _environment(project: Path) -> dict[str, str]:
    folder = environment_folder(project)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
    }
    return kept | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(project / "tmp"),
        "MASTOSTREAM_REQUIRE_SERVERS": "1",  # a test that is skipped finds nothing
        _MARK: str(project),
    }


def _await_hosts(project: Path) -> None:
    """Wait until the hosts of servers have ended; then their folder can be removed."""
    deadline_s = time.monotonic() + _END_TIMEOUT_S
    while any(True for _ in _processes_of(project, hosts=True)):
        if time.monotonic() > deadline_s:
            print(
                f"servers of {project} did not end within {_END_TIMEOUT_S:.0f} s", file=sys.stderr
            )
            return
        time.sleep(0.1)


def _processes_of(project: Path, *, hosts: bool) -> Iterator[int]:
    """Yield the ids of processes that a command of this copy has started and left behind.

    ``hosts`` chooses between host processes of servers and all others. A host ends its server, and
    then itself, when the test run is over.
    """
    mark = f"{_MARK}={project}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (b"server_pool" in (entry / "cmdline").read_bytes()) is not hosts:
                continue
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _last_line(log: Path) -> str:
    """Return a tool's message: the first line of its output that names an error, else the last."""
    lines = log.read_text("utf-8", "replace").strip().splitlines() or ["(no output)"]
    errors = [line for line in lines if "error" in line.lower() or line.startswith("src/")]
    return (errors or lines[-1:])[0][:200]
