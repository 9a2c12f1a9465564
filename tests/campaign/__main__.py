"""``nox -s campaign``: everything that can be tested, for hours, and one table at the end.

Parts are named as arguments: ``nox -s campaign -- kafka flink``. Each folder of
``tests/integration`` is a part; the others stand in :func:`parts_of`. What is chosen at random
depends on the seed, which is printed, and can be given again with ``--seed``.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
INTEGRATION: Final = ROOT / "tests" / "integration"
KILLS: Final = 140
"""How often a test kills each process: more than a thousand kills in all parts together."""

Command = Sequence[str]


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of one command.

    Attributes:
        name: name of the part, and of the command where the part has several.
        exit_code: exit code of the command.
        seconds: duration of the command.
        ran: whether the command could run; false where its version of Python is missing.
        tests: number of tests by result: ``passed``, ``failed``, ``skipped``.
        kills: number of processes that tests ended by ``kill -9``.
        failed: names of the failed tests.
        skipped: reasons of skipped tests, without repetition.
    """

    name: str
    exit_code: int
    seconds: float
    ran: bool = True
    tests: Mapping[str, int] = attrs.field(factory=dict)
    kills: int = 0
    failed: Sequence[str] = ()
    skipped: Sequence[str] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen parts one after the other; return the exit code."""
    options = _options(arguments)
    parts = parts_of(options)
    unknown = set(options.parts) - set(parts)
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
        return 2
    print(f"campaign: --seed={options.seed} --kills={options.kills}", flush=True)
    outcomes = []
    for part in options.parts or parts:
        for name, command in parts[part].items():
            outcomes.append(run(name, command))
            print(table(outcomes[-1:]), flush=True)
    print(f"\ncampaign: --seed={options.seed} --kills={options.kills}\n{table(outcomes)}")
    for outcome in outcomes:
        for line in (*outcome.failed, *(f"skipped: {reason}" for reason in outcome.skipped)):
            print(f"{outcome.name}: {line}")
    return int(any(outcome.exit_code for outcome in outcomes))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s campaign --", description=__doc__)
    parser.add_argument("parts", nargs="*", help="all where none is named")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--kills", type=int, default=KILLS)
    return parser.parse_args(arguments)


def parts_of(options: argparse.Namespace) -> dict[str, dict[str, Command]]:
    """Return the commands of each part, by part and by name of the command."""
    chosen = (f"--seed={options.seed}", f"--kills={options.kills}", "--thorough")
    properties = ("--hypothesis-profile=campaign", f"--hypothesis-seed={options.seed}")
    pytest = (sys.executable, "-m", "pytest", "--durations=20")
    nox = (sys.executable, "-m", "nox", "-s")
    folders = sorted(path.parent.name for path in INTEGRATION.glob("*/test_*.py"))
    return {
        "properties": {
            "properties": (*pytest, "tests/unit", "-n2", "--timeout=1800", *properties, *chosen)
        },
        **{name: {name: (*pytest, f"tests/integration/{name}", *chosen)} for name in folders},
        "versions": {name: (*nox, name, "--") for name in VERSIONS},
        "bench": {"bench": (*pytest, "tests/bench", "-s", "--timeout=1800")},
        "build": {"build": (*nox, "build")},
        "mutants": {
            "mutants": (sys.executable, "-m", "tests.campaign.mutants", f"--seed={options.seed}")
        },
    }


VERSIONS: Final = ("tests-3.11", "tests-3.12", "tests-3.13", "tests-3.14", "lowest")
"""Nox sessions that run the unit tests with other versions of Python or of packages."""


def run(name: str, command: Command) -> Outcome:
    """Run one command; a command that runs pytest also writes a report, which is read."""
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mastostream-campaign-") as folder:
        report = Path(folder) / "report.xml"
        if "pytest" in command or command[-1] == "--":
            command = (*command, f"--junitxml={report}")
        started_s = time.monotonic()
        environment = {"MASTOSTREAM_REQUIRE_SERVERS": "1", **os.environ}
        exit_code = subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode
        seconds = time.monotonic() - started_s
        return outcome_of(name, exit_code, seconds, report)


def outcome_of(name: str, exit_code: int, seconds: float, report: Path) -> Outcome:
    """Return the outcome of a command, with the results in pytest's report where there is one.

    A nox session that does not find its version of Python succeeds without a report.
    """
    outcome = Outcome(name=name, exit_code=exit_code, seconds=seconds)
    if not report.exists():
        return outcome if name not in VERSIONS else attrs.evolve(outcome, ran=False)
    cases = list(ET.parse(report).iter("testcase"))
    failed = [_name(case) for case in cases if _has(case, "failure", "error")]
    skipped = {
        reason.get("message", "") for case in cases if (reason := case.find("skipped")) is not None
    }
    tests = {
        "failed": len(failed),
        "skipped": sum(_has(case, "skipped") for case in cases),
    }
    return attrs.evolve(
        outcome,
        tests={"passed": len(cases) - sum(tests.values()), **tests},
        kills=sum(_kills(cases)),
        failed=failed,
        skipped=sorted(skipped),
    )


def _name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _has(case: ET.Element, *kinds: str) -> bool:
    return any(case.find(kind) is not None for kind in kinds)


def _kills(cases: Sequence[ET.Element]) -> Iterator[int]:
    for case in cases:
        for item in case.iter("property"):
            if item.get("name") == "kills":
                yield int(item.get("value", "0"))


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table with one line for each command."""
    rows = [("part", "result", "passed", "failed", "skipped", "kills", "minutes")]
    for outcome in outcomes:
        result = "passed" if outcome.exit_code == 0 else f"exit {outcome.exit_code}"
        result = result if outcome.ran else "NOT RUN: no such Python"
        counts = [str(outcome.tests.get(kind, "-")) for kind in ("passed", "failed", "skipped")]
        minutes = f"{outcome.seconds / 60:.1f}"
        rows.append((outcome.name, result, *counts, str(outcome.kills), minutes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
