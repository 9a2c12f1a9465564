"""Which language a post is in, as its author's server says."""

from collections.abc import Set as AbstractSet
from typing import Final

from mastostream.core.models import Post

__all__ = ["UNDETERMINED", "in_languages", "primary_language"]

UNDETERMINED: Final = "und"
"""The tag of BCP 47 (RFC 5646) for a language that is not known."""


def primary_language(post: Post) -> str:
    """Return the primary subtag (RFC 5646, section 2.2.1) in lower case: ``pt`` for ``pt-BR``.

    ``und`` where the server is silent. Spaces around it are removed, and nothing else, as SQL's
    ``TRIM`` does.
    """
    language = post.language
    if not language:
        return UNDETERMINED
    return language.replace("_", "-").partition("-")[0].strip(" ").lower() or UNDETERMINED


def in_languages(post: Post, languages: AbstractSet[str]) -> Post | None:
    """Return the post if its primary language is one of these (lower case), else ``None``."""
    return post if primary_language(post) in languages else None
