"""All rules on all objects."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from mastostream.core.indices import INDICES, Index
from mastostream.dashboards.kibana.lint.documents import check_data_view, check_search
from mastostream.dashboards.kibana.lint.file import File, envelopes_of, problem
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
    """Return what is wrong with the saved objects of one file; nothing if they are well.

    References are resolved inside the file and all of them are used; fields are in our indices and
    of a type that the operation takes; charts draw columns that are there; panels lie on the grid,
    side by side; versions are those that Kibana 8.17 and later import. That Kibana really draws
    them, no linter can tell.

    Never raises, whatever the objects are.
    """
    problems: list[Problem] = []
    envelopes: list[Envelope] = []
    for number, each in enumerate(objects, start=1):
        try:
            envelopes.append(read(each, Envelope))
        except msgspec.MsgspecError as error:
            problems.append(Problem(object=f"line {number}", rule="form", detail=str(error)))
    file = File(envelopes, {index.name: index for index in indices})
    problems += envelopes_of(file)
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
