"""A diagnostic of ``doctor``, and how a check that yields diagnostics is run."""

from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from mastostream.exceptions import MastostreamError

__all__ = ["Check", "Diagnostic", "run_check"]


@attrs.frozen(kw_only=True)
class Diagnostic:
    """The result of checking one thing.

    Attributes:
        what: the name of the thing that was checked, such as ``disk``.
        state: ``wrong`` makes the command fail, ``warning`` does not.
        detail: a text for a person; it says what to do if something is wrong.
        server: the Mastodon server that was checked; empty for anything else.
    """

    what: str
    state: Literal["ok", "warning", "wrong"]
    detail: str
    server: str = ""


Check = Callable[[], Iterator[Diagnostic]]
"""Yields diagnostics; may raise a ``MastostreamError``."""


def run_check(what: str, server: str, check: Check) -> Iterator[Diagnostic]:
    """Run a check; an error that it raises becomes a diagnostic with state ``wrong``."""
    try:
        for diagnostic in check():
            yield attrs.evolve(diagnostic, server=server)
    except MastostreamError as error:
        yield Diagnostic(what=what, state="wrong", detail=str(error), server=server)
