"""What Java, or Python behind it, says when something fails, as one sentence."""

import re
from typing import Final

__all__ = ["printable", "root_cause"]

_LONGEST: Final = 500
_PACKAGE: Final = re.compile(r"^(?:[a-z_][\w$]*\.)+(?=[A-Z])")
_CAUSED: Final = "Caused by: "
_TRACEBACK: Final = "Traceback (most recent call last):"
_TASK: Final = "Failure reason: "
"""Of a checkpoint; what stands before names all operators of a task."""


def root_cause(stack: str) -> str:
    """Return what went wrong first, without the stacks, at most 500 characters."""
    causes = stack.rpartition(f"\n{_CAUSED}")[2]
    lines = [line.strip() for line in causes.splitlines() if line.strip() and line[0] not in " \t"]
    found = (lines or ["it does not say why"])[-1 if _TRACEBACK in causes else 0]
    return printable(_PACKAGE.sub("", found.rpartition(_TASK)[2]).rstrip(". ")[:_LONGEST])


def printable(text: str) -> str:
    """Return a text of another's with ``?`` for what is no letter, sign or space."""
    return "".join(each if each.isprintable() else "?" for each in text)
