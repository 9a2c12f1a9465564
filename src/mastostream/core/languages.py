"""The language of a post, as its author's server states it."""

from collections.abc import Set as AbstractSet
from typing import Final

from mastostream.core.models import Post

__all__ = ["UNDETERMINED", "in_languages", "primary_language"]

UNDETERMINED: Final = "und"
"""The tag of BCP 47 (RFC 5646) for a language that is not known."""


def primary_language(post: Post) -> str:
    """Return the primary subtag (RFC 5646, section 2.2.1) in lower case: ``pt`` for ``pt-BR``.

    Returns ``und`` where the server states no language. Spaces around the subtag are removed, but
    no other white space, so that the result is the same as with ``TRIM`` in SQL.
    """
    language = post.language
    if not language:
        return UNDETERMINED
    return language.replace("_", "-").partition("-")[0].strip(" ").lower() or UNDETERMINED


def in_languages(post: Post, languages: AbstractSet[str]) -> Post | None:
    """Return the post if its primary language is in ``languages`` (lower case), else ``None``."""
    return post if primary_language(post) in languages else None
