"""Reduces an error of Java, or of the Python that it runs, to its cause in one sentence."""

import re
from typing import Final

__all__ = ["printable", "root_cause"]

_LONGEST: Final = 500
_PACKAGE: Final = re.compile(r"^(?:[a-z_][\w$]*\.)+(?=[A-Z])")
_CAUSED: Final = "Caused by: "
_TRACEBACK: Final = "Traceback (most recent call last):"
_TASK: Final = "Failure reason: "
"""The cause in the error of a checkpoint. The text before it names all operators of a task."""


def root_cause(stack: str) -> str:
    """Return the first cause in a stack trace, without the stacks: at most 500 characters."""
    causes = stack.rpartition(f"\n{_CAUSED}")[2]
    lines = [line.strip() for line in causes.splitlines() if line.strip() and line[0] not in " \t"]
    message = (lines or ["it does not say why"])[-1 if _TRACEBACK in causes else 0]
    return printable(_PACKAGE.sub("", message.rpartition(_TASK)[2]).rstrip(". ")[:_LONGEST])


def printable(text: str) -> str:
    """Return a text with ``?`` in place of each character that is no letter, sign or space.

    A text of others could otherwise control the terminal that shows it.
    """
    return "".join(character if character.isprintable() else "?" for character in text)
