"""What the doctor finds."""

from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from mastostream.exceptions import MastostreamError

__all__ = ["Check", "Diagnostic", "run_check"]


@attrs.frozen(kw_only=True)
class Diagnostic:
    """One thing that was looked at.

    Attributes:
        detail: for a person; where something is wrong, with what to do.
        server: the Mastodon server that it is about, if it is.
    """

    what: str
    state: Literal["ok", "warning", "wrong"]
    detail: str
    server: str = ""


Check = Callable[[], Iterator[Diagnostic]]


def run_check(what: str, server: str, check: Check) -> Iterator[Diagnostic]:
    """Run a check; an error of it is a finding, too."""
    try:
        for finding in check():
            yield attrs.evolve(finding, server=server)
    except MastostreamError as error:
        yield Diagnostic(what=what, state="wrong", detail=str(error), server=server)
