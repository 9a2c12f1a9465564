"""Which hashtags a post uses, and how often."""

import re
import unicodedata
from collections import Counter
from datetime import datetime
from functools import lru_cache
from typing import Final

import attrs

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
        tag: normalised as Mastodon's ``HashtagNormalizer`` does, without ``#``.
        count: uses, at least 1.
    """

    tag: str
    count: int = attrs.field(validator=attrs.validators.ge(1))


HashtagCounts = tuple[HashtagCount, ...]


# Without slots for the reason that EngagementRecord has.
@attrs.frozen(kw_only=True, slots=False)
class HashtagRecord:
    """The hashtags of one post: a record of ``mastodon-hashtags``.

    Attributes:
        key: the post's key; the document's id.
        observed_at: when the post was read, UTC; the version.
        hashtags: normalised, in first-seen order; empty where the post has none.
        hashtag_counts: how often each is used in this post, at least 1, in the same order.
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
    """Latin-1 Supplement and Latin Extended-A, lower case, to ASCII.

    The letters that Mastodon's ``ASCIIFolding`` lists: those of U+00C0 to U+017E whose canonical
    decomposition starts with an ASCII letter, and nine that have none.
    """
    table = {ord(letter): base for letter, base in zip("ðđħıĸłŋøŧ", "ddhiklnot", strict=True)}
    for code in range(0xC0, 0x17F):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base.isascii() and base.isalpha():
            table[code] = base.lower()
    return table


_FOLDINGS: Final = _foldings()
_KEPT: Final = frozenset("_·\N{ZERO WIDTH NON-JOINER}")
_LETTERS_AND_DIGITS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl"})
_VOWEL_SIGNS: Final = re.compile(
    r"VOWEL|ANUSVARA|VISARGA|CANDRABINDU|MEDIAL|SARA |MAITAIKHU|AU LENGTH MARK|AI LENGTH MARK"
)


def normalize_hashtag(name: str) -> str:
    """Spell a hashtag as Mastodon's ``HashtagNormalizer`` does, as the tag pages do.

    A leading ``#`` is dropped; then NFKC, lower case, Latin letters folded to ASCII, and all but
    letters, digits, ``_``, ``·`` and ZWNJ removed: ``Café`` becomes ``cafe``, ``straße`` stays.
    A vowel sign of an Indic or South-East Asian script is part of a letter and stays, too.
    Idempotent. May return an empty string.

    Source: ``app/lib/hashtag_normalizer.rb``, ``app/lib/ascii_folding.rb`` and
    ``HASHTAG_INVALID_CHARS_RE`` of Mastodon 4.
    """
    return _normalize(name)


@lru_cache(maxsize=16_384)
def _normalize(name: str) -> str:
    if name.isascii() and name.isalnum():
        return name.lower()
    # A removed character may leave two neighbours that compose: repeat until nothing changes.
    while True:
        folded = unicodedata.normalize("NFKC", name).lower().translate(_FOLDINGS)
        kept = "".join(filter(_is_kept, folded))
        if kept == name:
            return kept
        name = kept


def _is_kept(character: str) -> bool:
    category = unicodedata.category(character)
    if category in _LETTERS_AND_DIGITS or character in _KEPT:
        return True
    return category in {"Mn", "Mc"} and bool(_VOWEL_SIGNS.search(unicodedata.name(character, "")))


# A hashtag in the text, from its sign on. An entity (`&#39;`) and an address's fragment are none.
_USE: Final = re.compile(r"(?<![&/\w])[#\uff03](?:<span[^<>]*>)?([^\s<>#&]+)")
# Either a whole HTML tag, to step over it and what its attributes hold, or such a hashtag. `<` ends
# both, so that no input makes the search go back.
_TAGS_OR_USES: Final = re.compile(rf"<[^<>]*>|{_USE.pattern}")
# Such a hashtag straight behind an HTML tag, where the links that servers make have it.
_LINKED_USE: Final = re.compile(r"#(?<=>#)(?:<span[^<>]*>)?([^\s<>#&]+)")
_FULLWIDTH: Final = "\uff03"


def hashtag_counts(post: Post) -> HashtagCounts:
    """Return the post's hashtags in first-seen order, each with the times it is used in the text.

    The server's list says which; a tag that the text does not show (it came in another way) is
    used once. A tag that is empty once normalised is left out.
    """
    return tuple(HashtagCount(tag=tag, count=count) for tag, count in _uses(post).items())


def _uses(post: Post) -> dict[str, int]:
    if not post.tags:
        return {}
    counts = dict.fromkeys([_normalize(tag.name) for tag in post.tags], 0)
    counts.pop("", None)
    for name in _used(post.content):
        tag = _normalize(name)
        if tag in counts:
            counts[tag] += 1
    if 0 in counts.values():
        return {tag: count or 1 for tag, count in counts.items()}
    return counts


def _used(content: str) -> list[str]:
    """Return the hashtags that an HTML text shows, as they are spelled.

    Nearly always each sign begins a link's text. Else from sign to sign: both take a fraction of
    the time of a search that steps over every HTML tag.
    """
    if _FULLWIDTH in content:
        return [name for name in _TAGS_OR_USES.findall(content) if name]
    found: list[str] = _LINKED_USE.findall(content)
    if len(found) == content.count("#"):
        return found
    found = []
    before, end = 0, len(content)
    opened = closed = next_opened = next_closed = -1
    at = content.find("#")
    while at >= 0:
        # Each place is looked at once for each sign, however many there are.
        opened = max(opened, content.rfind("<", before, at))
        closed = max(closed, content.rfind(">", before, at))
        before = at
        use = None
        if opened > closed:
            next_opened = _next(content, "<", at, next_opened, end)
            next_closed = _next(content, ">", at, next_closed, end)
        # Inside an HTML tag is what stands in one that is closed before the next one opens.
        if opened <= closed or next_closed == end or next_opened < next_closed:
            use = _USE.match(content, at)
        if use is not None:
            found.append(use[1])
        at = content.find("#", at + 1 if use is None else use.end())
    return found


def _next(content: str, sign: str, at: int, known: int, end: int) -> int:
    """Return where a sign comes next: ``known`` where that is still ahead, ``end`` for nowhere."""
    if known >= at:
        return known
    found = content.find(sign, at)
    return end if found < 0 else found


def merge_hashtag_counts(left: HashtagCounts, right: HashtagCounts) -> HashtagCounts:
    """Add two counts tag by tag. Associative and commutative; ``()`` is the identity.

    One entry a tag, sorted by tag; a merge with ``()`` leaves the other as it is.
    """
    if not left or not right:
        return left or right
    sums: Counter[str] = Counter()
    for item in (*left, *right):
        sums[item.tag] += item.count
    return tuple(HashtagCount(tag=tag, count=sums[tag]) for tag in sorted(sums))


def hashtag_record(post: Post) -> HashtagRecord:
    """Describe a post's hashtags. A post without any has a record too: an edit may remove them."""
    counts, stamp = _uses(post), post.mastostream
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
