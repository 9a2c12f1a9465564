"""The tiers of tests that a break goes through until one of them goes red.

A test that goes red is run once more alone. When it passes then, it was not steady: the tier runs
again without it, and the test is noted. After three runs that were red in this way, the tier counts
as green: what only seems to be caught is not counted.
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

# What tells a defect. Rules of style would find how a change is written, not what it does.
_RUFF = ("ruff", "check", "--no-cache", "--quiet", "--output-format=concise")
_RUFF_RULES = ("--select=E9,F,PLE", "src")
_NO_TESTS = 5
_MOST_UNSTEADY = 3
_FAREWELL_S = 60.0
_AGAIN_S = 240
"""How long a test may take when it runs once more alone: what loops for ever ends here."""

_MARK = "MASTOSTREAM_CAMPAIGN_COPY"


@attrs.frozen
class Tier:
    """Commands that are run one after the other.

    Attributes:
        name: for the table.
        commands: each a program of the environment with its arguments.
        bound_s: how long one command may take.
    """

    name: str
    commands: Sequence[Sequence[str]]
    bound_s: float


@attrs.frozen
class Outcome:
    """What became of a break.

    Attributes:
        tier: the one that went red; ``None`` where none did.
        test: the test that did, or what a tool said.
        unsteady: tests that were red once and green when run again.
    """

    tier: str | None
    test: str
    unsteady: Sequence[str] = ()


def mirror_tests(root: Path, path: Path) -> list[str]:
    """Return the unit tests nearest to a source file, from the root; empty where none are near.

    ``tests/unit`` mirrors the package: for ``log/kafka/windows.py`` that is
    ``log/test_kafka_windows.py``, in its absence all of ``log/test_kafka_*.py`` and ``log/kafka/``,
    and else ``log/``.
    """
    *folders, name = path.relative_to("src/mastostream").with_suffix("").parts
    names = [*folders, name] if name != "__init__" else folders
    unit = root / "tests/unit"
    for depth in range(len(names), 0, -1):
        for folders_kept in range(depth - 1, -1, -1):
            folder = unit.joinpath(*names[:folders_kept])
            stem = "_".join(names[folders_kept:depth])
            found = (
                *folder.glob(f"test_{stem}.py"),
                *sorted(folder.glob(f"test_{stem}_*.py")),
                *sorted(folder.joinpath(stem).rglob("test_*.py")),
            )
            if found:
                return [str(each.relative_to(root)) for each in found]
    return []


def tiers_for(root: Path, path: Path, *, integration: str, scale: float = 1.0) -> list[Tier]:
    """Return the tiers for a break in this file, cheapest first.

    Args:
        root: of the project.
        path: of the file, from the root.
        integration: the command of the integration tests; empty leaves them out.
        scale: of the time bounds.
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
    """Run tiers in a copy of the project until one goes red."""
    unsteady: list[str] = []
    for tier in tiers:
        for command in tier.commands:
            red = _red(project, command, tier.bound_s, unsteady)
            if red is not None:
                return Outcome(tier.name, red, unsteady)
    return Outcome(None, "", unsteady)


def _red(project: Path, command: Sequence[str], bound_s: float, unsteady: list[str]) -> str | None:
    """Return which test of a command goes red, ``None`` where none does."""
    for _ in range(_MOST_UNSTEADY):
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
        again = ("pytest", "-q", f"--timeout={_AGAIN_S}", *tests)
        if _run(project, again, bound_s, log, ()) != 0:
            return str(tests[0])
        unsteady += tests
    return None


def _run(
    project: Path, command: Sequence[str], bound_s: float, log: Path, without: Sequence[str]
) -> int | None:
    """Run a command; return its exit code, ``None`` where it did not end in time."""
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
            process.wait(_FAREWELL_S)
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
    """Wait until the hosts of servers have ended these: their folder is removed after that."""
    deadline_s = time.monotonic() + _FAREWELL_S
    while any(True for _ in _processes_of(project, hosts=True)):
        if time.monotonic() > deadline_s:
            print(f"servers of {project} did not end within {_FAREWELL_S:.0f} s", file=sys.stderr)
            return
        time.sleep(0.1)


def _processes_of(project: Path, *, hosts: bool) -> Iterator[int]:
    """Find the processes that a command of this copy has started and left.

    Hosts of servers are told apart: each ends its server, and then itself, when the run of tests is
    over.
    """
    mark = f"{_MARK}={project}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (b"server_pool" in (entry / "cmdline").read_bytes()) is not hosts:
                continue
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _last_line(log: Path) -> str:
    """Return what a tool said: the first line that names an error, else the last."""
    lines = log.read_text("utf-8", "replace").strip().splitlines() or ["(no output)"]
    errors = [line for line in lines if "error" in line.lower() or line.startswith("src/")]
    return (errors or lines[-1:])[0][:200]
