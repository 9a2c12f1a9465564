"""The results of all breaks: a file with one JSON object per line, and a table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Result", "Results", "is_enough", "table"]

_ENOUGH = (7, 8)
"""Smallest share of breaks that has to be caught: 7 of 8."""


@attrs.frozen(kw_only=True)
class Result:
    """The result of one break.

    Attributes:
        number: number of the break, from 1.
        where: file and line of the break.
        what: description of the change.
        tier: name of the tier that went red; ``None`` where none did.
        test: name of the test that went red, or the message of a tool.
        unsteady: tests that were red once and green when they ran again.
        seconds: duration of all tiers together.
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
        """Whether a tier went red."""
        return self.tier is not None


class Results:
    """A file of results. Its first line says of which campaign they are."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, about: dict[str, Any]) -> None:
        """Empty the file and write its first line."""
        self._path.write_text(json.dumps(about) + "\n", "utf-8")

    def add(self, result: Result) -> None:
        """Append a result at once."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(attrs.asdict(result)) + "\n")

    def read(self) -> tuple[dict[str, Any], dict[int, Result]]:
        """Return the first line and the results by number; an incomplete line is ignored."""
        first, *rest = self._path.read_text("utf-8").splitlines(keepends=True)
        results = [Result(**json.loads(line)) for line in rest if line.endswith("}\n")]
        return json.loads(first), {result.number: result for result in results}


def is_enough(results: Sequence[Result]) -> bool:
    """Return whether at least 7 of 8 breaks were caught."""
    part, whole = _ENOUGH
    return sum(result.caught for result in results) * whole >= len(results) * part


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table, with the number of caught breaks below."""
    rows = [("#", "where", "change", "tier", "red")]
    for result in sorted(results, key=lambda result: result.number):
        notes = [f"(not steady: {test})" for test in result.unsteady]
        red = " ".join([result.test, *notes])
        cells = (str(result.number), result.where, result.what, result.tier or "SURVIVED", red)
        rows.append(cells)
    rows.insert(1, ("---",) * 5)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    caught = sum(result.caught for result in results)
    return "\n".join([*(f"| {line} |" for line in lines), "", f"caught: {caught}/{len(results)}"])
