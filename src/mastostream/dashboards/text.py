"""Makes text from servers safe to print in a terminal."""

import re
import unicodedata
from typing import Final

from mastostream.core.plain_text import plain_text

__all__ = ["safe", "safe_text"]

LONGEST: Final = 500
"""Longest result of :func:`safe`, in characters."""

_SPACES: Final = re.compile(r"\s+")
# Unicode categories of characters that steer a terminal or cannot be seen: control, format,
# surrogate, private use, unassigned, and the separators of lines and of paragraphs.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(text: str) -> str:
    """Return text as one line that is safe to print: nothing in it can steer a terminal or hide.

    Control, format, private and unassigned characters are removed, white space becomes single
    spaces, and the result has at most 500 characters. Idempotent.
    """
    folded = _SPACES.sub(" ", text[: LONGEST * 8])
    kept = "".join(char for char in folded if unicodedata.category(char) not in _HIDDEN)
    return _SPACES.sub(" ", kept).strip()[:LONGEST].strip()


def safe_text(html: str) -> str:
    """Return the text of a post's HTML, made :func:`safe`."""
    return safe(plain_text(html[: LONGEST * 20]))
