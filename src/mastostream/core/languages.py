"""The language of a post: tags of BCP 47 (RFC 5646), and which posts are in wanted languages.

All views, windows and filters read a language by the functions of this module. No registry of
subtags is needed: what is not a well-formed tag names no language, and what is not registered is
one that nobody writes in. For the same reason a subtag is never replaced by another one: ``yue``
and ``zh-YUE`` stay two tags, and ``zh`` finds only the second, as its prefix.
"""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

from mastostream.core.models import Post

__all__ = [
    "UNDETERMINED",
    "in_languages",
    "language_range",
    "language_ranges",
    "language_tag",
    "primary_language",
    "primary_subtag",
    "stated_language",
]

UNDETERMINED: Final = "und"
"""The tag of BCP 47 (RFC 5646) for a language that is not known."""

# The grammar of RFC 5646, section 2.1, with the subtags that name a language. A subtag ends where
# another begins, at white space, and at the end. Extensions and private subtags name none.
_END: Final = r"(?![^-_\s])"
_TAG: Final = re.compile(
    rf"""\s*
    ([a-z]{{2,3}}{_END})
    ((?:[-_][a-z]{{3}}{_END}){{0,3}})                              # extended language
    ((?:[-_][a-z]{{4}}{_END})?)                                    # script
    ((?:[-_](?:[a-z]{{2}}|[0-9]{{3}}){_END})?)                     # region
    ((?:[-_](?:[a-z0-9]{{5,8}}|[0-9][a-z0-9]{{3}}){_END}){{0,3}})  # variants
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_LONGEST_CACHED: Final = 64


def language_tag(language: str | None) -> str:
    """Return the canonical spelling of a language tag: ``pt-BR`` for ``PT_br``.

    The case is that of RFC 5646, section 2.1.1: ``zh-Hant-TW``, ``zh-yue``. An underscore is read
    as ``-``, and white space around the tag is ignored. From the first subtag on that is not well
    formed, and from the first extension or private subtag on, the rest is ignored; a tag of which
    nothing is left is ``und``, as is ``None``. The result has at most 51 characters of ASCII.
    """
    if language is None:
        return UNDETERMINED
    return _cached(language) if len(language) <= _LONGEST_CACHED else _canonical(language)


def _canonical(language: str) -> str:
    match = _TAG.match(language)
    if match is None:
        return UNDETERMINED
    primary, extended, script, region, variants = match.groups()
    tag = f"{primary.lower()}{extended.lower()}{script.title()}{region.upper()}{variants.lower()}"
    return tag.replace("_", "-")


_cached: Final = lru_cache(maxsize=4_096)(_canonical)


def primary_subtag(language: str | None) -> str:
    """Return the primary subtag (RFC 5646, section 2.2.1) in lower case: ``pt`` for ``pt-BR``.

    Returns ``und`` where :func:`language_tag` does.
    """
    return language_tag(language).partition("-")[0]


def primary_language(post: Post) -> str:
    """Return the language by which windows group a post: its :func:`primary_subtag`."""
    return primary_subtag(post.language)


def stated_language(post: Post) -> str | None:
    """Return the :func:`language_tag` of a post, ``None`` where no usable one is stated."""
    tag = language_tag(post.language)
    return None if tag == UNDETERMINED else tag


def language_range(language: str) -> str:
    """Return the canonical spelling of a language that somebody asks for.

    Raises:
        ValueError: the text is no tag, or has an extension or a private subtag.
    """
    match = _TAG.match(language)
    if match is None or language[match.end() :].strip():
        raise ValueError(
            f"{language!r} is no language: expected a tag of BCP 47, such as en, pt-BR or zh-Hant"
        )
    return language_tag(language)


def language_ranges(languages: Iterable[str]) -> frozenset[str]:
    """Return the canonical spellings of languages that somebody asks for.

    Raises:
        ValueError: as :func:`language_range`.
    """
    return frozenset(map(language_range, languages))


def in_languages(post: Post, languages: AbstractSet[str]) -> Post | None:
    """Return the post if it is in one of these languages, else ``None``.

    Filters as RFC 4647, section 3.3.1, does (basic filtering): ``pt`` finds ``pt`` and ``pt-BR``,
    ``pt-BR`` finds only ``pt-BR``, and ``zh-Hant`` finds ``zh-Hant-TW``. ``und`` finds the posts
    that state no usable language.

    Args:
        post: the post.
        languages: the results of :func:`language_range`.
    """
    tag = language_tag(post.language)
    while tag:
        if tag in languages:
            return post
        tag = tag.rpartition("-")[0]
    return None
