"""The hashtags of a post: how they are normalised, and how often the text uses each."""

import re
import unicodedata
from collections import Counter
from datetime import datetime
from functools import cache, lru_cache
from typing import Final

import attrs

from mastostream.core.alphanumerics import alphanumeric_class
from mastostream.core.models import Post

__all__ = [
    "HashtagCount",
    "HashtagCounts",
    "HashtagRecord",
    "hashtag_counts",
    "hashtag_record",
    "merge_hashtag_counts",
    "normalize_hashtag",
]


@attrs.frozen(kw_only=True)
class HashtagCount:
    """How often one hashtag is used.

    Attributes:
        tag: the hashtag as :func:`normalize_hashtag` spells it, without ``#``.
        count: number of uses, at least 1.

    Raises:
        ValueError: ``count`` is below 1.
    """

    tag: str
    count: int = attrs.field(validator=attrs.validators.ge(1))


HashtagCounts = tuple[HashtagCount, ...]


# No slots: the constructor then takes two thirds of the time, and it runs for each post.
@attrs.frozen(kw_only=True, slots=False)
class HashtagRecord:
    """The hashtags of one post: a record of the topic ``mastodon-hashtags``.

    The attributes that are not listed are those of :class:`Post`.

    Attributes:
        key: key of the record, and id of the document in an index.
        observed_at: time at which the post was read, UTC. It is the version: of several records
            with one key, the one with the latest time is valid.
        instance: host name of the server that showed the post; empty where it is not known.
        account: the author's ``acct``.
        hashtags: normalised hashtags in the order in which the server lists them, each once; empty
            where the post has none.
        hashtag_counts: how often this post uses each hashtag, at least 1, in the order of
            ``hashtags``.
    """

    key: str
    observed_at: datetime
    id: str
    instance: str
    account: str
    language: str | None
    created_at: datetime
    hashtags: tuple[str, ...]
    hashtag_counts: tuple[int, ...]


def _foldings() -> dict[int, str]:
    """Return a table for ``str.translate`` from Latin letters to lower-case ASCII letters.

    It has the letters that Mastodon's ``ASCIIFolding`` lists: those of U+00C0 to U+017E (Latin-1
    Supplement and Latin Extended-A) whose canonical decomposition starts with an ASCII letter, and
    nine letters that have no decomposition.
    """
    table = {ord(letter): base for letter, base in zip("ðđħıĸłŋøŧ", "ddhiklnot", strict=True)}
    for code in range(0xC0, 0x17F):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base.isascii() and base.isalpha():
            table[code] = base.lower()
    return table


_FOLDINGS: Final = _foldings()
# The signs that a hashtag may contain beside letters and digits. U+0E47 to U+0E4E are Thai marks.
_SIGMA: Final = {ord("\N{GREEK CAPITAL LETTER SIGMA}"): "\N{GREEK SMALL LETTER SIGMA}"}
_SIGNS: Final = "_·\N{KATAKANA MIDDLE DOT}\N{ZERO WIDTH NON-JOINER}\u0e47-\u0e4e"


def normalize_hashtag(name: str) -> str:
    """Return a hashtag in the spelling by which Mastodon finds it: ``Café`` becomes ``cafe``.

    Does what Mastodon's ``HashtagNormalizer`` does: Unicode NFKC, lower case (without the final
    sigma of Greek), and Latin letters folded to ASCII (``é`` to ``e``, but ``ß`` is kept). Then all
    characters are removed, a leading ``#`` too, but those that Ruby's ``[[:alnum:]]`` matches
    (letters, the marks that are parts of letters, and digits), ``_``, ``·``, ``・``, ZWNJ and the
    marks U+0E47 to U+0E4E. Idempotent. The result may be empty.

    Source: ``app/lib/hashtag_normalizer.rb``, ``app/lib/ascii_folding.rb`` and
    ``HASHTAG_INVALID_CHARS_RE`` of Mastodon 4.5, with Unicode 15.0.
    """
    return _normalize(name)


@lru_cache(maxsize=16_384)
def _normalize(name: str) -> str:
    if name.isascii() and name.isalnum():
        return name.lower()
    # A removed character may leave two neighbours that compose: repeat until nothing changes.
    while True:
        # Ruby's lower case has no final sigma.
        lower = unicodedata.normalize("NFKC", name).translate(_SIGMA).lower()
        kept = _invalid().sub("", lower.translate(_FOLDINGS))
        if kept == name:
            return kept
        name = kept


@cache
def _invalid() -> re.Pattern[str]:
    """Return what matches the characters that are removed; made at first use, in 10 ms."""
    return re.compile(f"[^{_SIGNS}{alphanumeric_class()}]+")


# A use of a hashtag in the text: `#` (or the full-width sign), perhaps `<span>`, and the name. The
# `#` of an entity (`&#39;`) or of a URL's fragment does not begin one.
_USE: Final = re.compile(r"(?<![&/\w])[#\uff03](?:<span[^<>]*>)?([^\s<>#&]+)")
# A whole HTML tag, to skip it together with its attributes, or a use of a hashtag. Neither contains
# a second `<`, so that no input makes the search backtrack.
_TAGS_OR_USES: Final = re.compile(rf"<[^<>]*>|{_USE.pattern}")
# A use right after an HTML tag: the links that servers write around hashtags have this form.
_LINKED_USE: Final = re.compile(r"#(?<=>#)(?:<span[^<>]*>)?([^\s<>#&]+)")
_FULLWIDTH: Final = "\uff03"


def hashtag_counts(post: Post) -> HashtagCounts:
    """Return the post's normalised hashtags, each with the number of its uses in the text.

    The hashtags are those of ``post.tags``, in that order, each once. A hashtag that the text does
    not contain counts as used once. One that normalises to an empty string is left out.
    """
    return tuple(HashtagCount(tag=tag, count=count) for tag, count in _count_uses(post).items())


def _count_uses(post: Post) -> dict[str, int]:
    if not post.tags:
        return {}
    counts = dict.fromkeys([_normalize(tag.name) for tag in post.tags], 0)
    counts.pop("", None)
    for name in _shown_hashtags(post.content):
        tag = _normalize(name)
        if tag in counts:
            counts[tag] += 1
    if 0 in counts.values():
        return {tag: count or 1 for tag, count in counts.items()}
    return counts


def _shown_hashtags(content: str) -> list[str]:
    """Return the hashtags that a reader of an HTML text sees, as they are spelled there.

    There are three ways, with the same result. In nearly all posts each ``#`` begins the text of a
    link, and one regular expression finds them all. Otherwise the text is searched from ``#`` to
    ``#``. A text with a full-width sign is searched HTML tag by HTML tag, which takes several times
    as long.
    """
    if _FULLWIDTH in content:
        return [name for name in _TAGS_OR_USES.findall(content) if name]
    names: list[str] = _LINKED_USE.findall(content)
    if len(names) == content.count("#"):
        return names
    names = []
    before, end = 0, len(content)
    opened = closed = next_opened = next_closed = -1
    at = content.find("#")
    while at >= 0:
        # `rfind` looks only at what came since the last `#`, so that the time stays linear.
        opened = max(opened, content.rfind("<", before, at))
        closed = max(closed, content.rfind(">", before, at))
        before = at
        use = None
        if opened > closed:
            next_opened = _next(content, "<", at, next_opened, end)
            next_closed = _next(content, ">", at, next_closed, end)
        # The `#` is inside an HTML tag if a tag is open here and is closed before the next opens.
        if opened <= closed or next_closed == end or next_opened < next_closed:
            use = _USE.match(content, at)
        if use is not None:
            names.append(use[1])
        at = content.find("#", at + 1 if use is None else use.end())
    return names


def _next(content: str, sign: str, at: int, known: int, end: int) -> int:
    """Return the position of the next ``sign`` from ``at`` on, or ``end`` if there is none.

    ``known`` is the result of the last call: it is still right if it is not before ``at``.
    """
    if known >= at:
        return known
    position = content.find(sign, at)
    return end if position < 0 else position


def merge_hashtag_counts(left: HashtagCounts, right: HashtagCounts) -> HashtagCounts:
    """Add two counts tag by tag. Associative and commutative; ``()`` is the identity.

    The result has one entry for each tag, sorted by tag. If one of the two is ``()``, the other is
    returned unchanged.
    """
    if not left or not right:
        return left or right
    sums: Counter[str] = Counter()
    for item in (*left, *right):
        sums[item.tag] += item.count
    return tuple(HashtagCount(tag=tag, count=sums[tag]) for tag in sorted(sums))


def hashtag_record(post: Post) -> HashtagRecord:
    """Return the record of a post's hashtags.

    A post without hashtags has a record too: an edit may have removed them.
    """
    counts, stamp = _count_uses(post), post.mastostream
    return HashtagRecord(
        key=post.id if stamp is None else stamp.key,
        observed_at=post.created_at if stamp is None else stamp.observed_at,
        id=post.id,
        instance="" if stamp is None else stamp.instance,
        account=post.account.acct,
        language=post.language,
        created_at=post.created_at,
        hashtags=tuple(counts),
        hashtag_counts=tuple(counts.values()),
    )
