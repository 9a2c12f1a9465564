"""What the doctor finds."""

from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from mastostream.exceptions import MastostreamError

__all__ = ["Check", "Finding", "found"]


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        detail: for a person; where something is wrong, with what to do.
        server: the Mastodon server that it is about, if it is.
    """

    what: str
    state: Literal["ok", "warning", "wrong"]
    detail: str
    server: str = ""


Check = Callable[[], Iterator[Finding]]


def found(what: str, server: str, check: Check) -> Iterator[Finding]:
    """Run a check; an error of it is a finding, too."""
    try:
        for finding in check():
            yield attrs.evolve(finding, server=server)
    except MastostreamError as error:
        yield Finding(what=what, state="wrong", detail=str(error), server=server)
