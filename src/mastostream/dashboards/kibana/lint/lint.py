"""The linter: applies all rules to all saved objects of a file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from mastostream.core.indices import INDICES, Index
from mastostream.dashboards.kibana.lint.documents import check_data_view, check_search
from mastostream.dashboards.kibana.lint.file import File, check_envelopes, problem
from mastostream.dashboards.kibana.lint.grid import check_dashboard
from mastostream.dashboards.kibana.lint.lens import check_lens
from mastostream.dashboards.kibana.lint.problems import Problem
from mastostream.dashboards.kibana.lint.shapes import Envelope, read

__all__ = ["lint"]

_CHECKS: Final[Mapping[str, Callable[[Envelope, File], Iterator[Problem]]]] = {
    "index-pattern": check_data_view,
    "lens": check_lens,
    "search": check_search,
    "dashboard": check_dashboard,
}


def lint(
    objects: Iterable[Mapping[str, Any]], indices: Iterable[Index] = INDICES
) -> tuple[Problem, ...]:
    """Return the problems of the saved objects of one file; ``()`` if there are none.

    Never raises, whatever the objects are. These rules are checked:

    - every reference is used, and its target is in the file;
    - fields are in the indices, and of a type that the operation accepts;
    - charts draw columns that exist;
    - panels are on the grid, and do not overlap;
    - versions are those that Kibana 8.17 and later import.

    No linter can tell whether Kibana really draws the panels.

    Args:
        objects: the saved objects, in the order of the file.
        indices: the indices to which data views may refer.
    """
    problems: list[Problem] = []
    envelopes: list[Envelope] = []
    for number, item in enumerate(objects, start=1):
        try:
            envelopes.append(read(item, Envelope))
        except msgspec.MsgspecError as error:
            problems.append(Problem(object=f"line {number}", rule="form", detail=str(error)))
    file = File(envelopes, {index.name: index for index in indices})
    problems += check_envelopes(file)
    for envelope in envelopes:
        problems += _checked(envelope, file)
    return tuple(problems)


def _checked(envelope: Envelope, file: File) -> Iterator[Problem]:
    check = _CHECKS.get(envelope.type)
    if check is None:
        yield problem(envelope, "form", f"no type of ours: {envelope.type}")
        return
    try:
        yield from check(envelope, file)
    except msgspec.MsgspecError as error:
        yield problem(envelope, "form", str(error))
