"""What came of each break: a file with one JSON object a line, and a table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Result", "Results", "is_enough", "table"]

_ENOUGH = (7, 8)


@attrs.frozen(kw_only=True)
class Result:
    """What came of one break.

    Attributes:
        number: of the break, from 1.
        where: file and line.
        what: the change.
        tier: the one that went red; ``None`` where none did.
        test: the test that did, or what a tool said.
        unsteady: tests that were red once and green when run again.
        seconds: how long it took.
    """

    number: int
    where: str
    what: str
    tier: str | None
    test: str
    unsteady: Sequence[str]
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether any tier went red."""
        return self.tier is not None


class Results:
    """A file of results, the first line of which says what they are of."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, about: dict[str, Any]) -> None:
        """Begin anew."""
        self._path.write_text(json.dumps(about) + "\n", "utf-8")

    def add(self, result: Result) -> None:
        """Write a result down at once."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(attrs.asdict(result)) + "\n")

    def read(self) -> tuple[dict[str, Any], dict[int, Result]]:
        """Return what the results are of, and those that are there; a line cut short is not."""
        first, *rest = self._path.read_text("utf-8").splitlines(keepends=True)
        results = [Result(**json.loads(line)) for line in rest if line.endswith("}\n")]
        return json.loads(first), {result.number: result for result in results}


def is_enough(results: Sequence[Result]) -> bool:
    """Return whether at least 7 of 8 were caught."""
    part, whole = _ENOUGH
    return sum(result.caught for result in results) * whole >= len(results) * part


def table(results: Sequence[Result]) -> str:
    """Return a table in Markdown."""
    rows = [("#", "where", "change", "tier", "red")]
    for each in sorted(results, key=lambda result: result.number):
        noted = [f"(not steady: {test})" for test in each.unsteady]
        red = " ".join([each.test, *noted])
        rows.append((str(each.number), each.where, each.what, each.tier or "SURVIVED", red))
    rows.insert(1, ("---",) * 5)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    caught = sum(result.caught for result in results)
    return "\n".join([*(f"| {line} |" for line in lines), "", f"caught: {caught}/{len(results)}"])
