"""Mastodon text, made harmless for a terminal."""

import re
import unicodedata
from typing import Final

from selectolax.lexbor import LexborHTMLParser

__all__ = ["plain_text", "safe"]

LONGEST: Final = 500
_SPACES: Final = re.compile(r"\s+")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(text: str) -> str:
    """Return one line without anything that steers a terminal or hides: no control, format,
    private or unassigned characters, spaces folded, at most 500 characters. Idempotent.
    """  # noqa: D205 - one sentence
    folded = _SPACES.sub(" ", text[: LONGEST * 8])
    kept = "".join(each for each in folded if unicodedata.category(each) not in _HIDDEN)
    return _SPACES.sub(" ", kept).strip()[:LONGEST].strip()


def plain_text(html: str) -> str:
    """Return the text of a post's HTML, made :func:`safe`."""
    body = LexborHTMLParser(html[: LONGEST * 20]).body
    if body is None:
        return safe(html)
    for node in body.css("script, style"):
        node.decompose()
    return safe(body.text(separator=" ").replace("# ", "#"))
