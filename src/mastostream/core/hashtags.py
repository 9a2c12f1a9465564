"""The hashtags of a post: how they are normalised, and how often the text uses each."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cache, lru_cache
from typing import Final

import attrs

from mastostream.core.accounts import account_name
from mastostream.core.character_classes import (
    alphanumeric_class,
    decimal_digit_class,
    word_class,
)
from mastostream.core.languages import stated_language
from mastostream.core.models import Post
from mastostream.core.plain_text import plain_text

__all__ = [
    "HashtagCount",
    "HashtagCounts",
    "HashtagRecord",
    "hashtag_counts",
    "hashtag_record",
    "hashtag_uses",
    "hashtags_in",
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
        account: the author's :func:`account_name`.
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
_SIGMA: Final = {ord("\N{GREEK CAPITAL LETTER SIGMA}"): "\N{GREEK SMALL LETTER SIGMA}"}
# What may stand between the words of a hashtag, beside `_`.
_SEPARATORS: Final = "·\N{KATAKANA MIDDLE DOT}\N{ZERO WIDTH NON-JOINER}"
# The signs that a hashtag may contain beside letters and digits. U+0E47 to U+0E4E are Thai marks.
_SIGNS: Final = f"_{_SEPARATORS}\u0e47-\u0e4e"


# Names longer than this are nobody's, and would only fill the memory of the cache.
_LONGEST: Final = 200


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
    return _normalize(name) if len(name) <= _LONGEST else _normalize.__wrapped__(name)


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


_HASH: Final = "#\uff03"
# What follows the scheme of a page's address that has a path or a query. What these may contain is
# said in Mastodon's `config/initializers/twitter_regex.rb`. Parentheses belong to it in pairs.
_WHITE_SPACE: Final = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_PATH: Final = rf"[^{_WHITE_SPACE}<>()?]"
_ADDRESS: Final = re.compile(
    rf"""
    :// [^{_WHITE_SPACE}<>()/?\#]*+ (?= [/?] )
    (?: / (?: {_PATH}++ | \( {_PATH}*+ (?: \( {_PATH}*+ \) {_PATH}*+ )? \) )* )?
    (?: \? [^{_WHITE_SPACE}<>"]*+ )?
    """,
    re.VERBOSE,
)
# The scheme of an address that follows a hashtag without a space: `#newshttps://mastodon.example`.
_SCHEME: Final = re.compile(r"(?<=.)https?\Z")
# An ASCII word after a `#`, perhaps in a link of the form that servers write, and what tells that
# the word ends there: white space, punctuation, or the end of a line.
_HASH_AND_WORD: Final = re.compile(
    r"#(?:<span>)?([0-9A-Za-z_]+)((?:</span>)?(?:</a>)?(?:[ \n.,!?)]|</p>|<br[ />]))?"
)
# What may not belong to the name of a word that may go on: its last letter, since a mark may follow
# that it composes with (`k` and U+0301 to `ḱ`), or the beginning of an address' scheme.
_UNCERTAIN: Final = re.compile(r"(?:h(?:tt?p?s?)?|.)\Z")


def hashtag_counts(post: Post) -> HashtagCounts:
    """Return the post's normalised hashtags, each with the number of its uses in the text.

    The hashtags are those of ``post.tags``, in that order, each once. One that normalises to an
    empty string is left out. Their uses are counted as :func:`hashtag_uses` does.
    """
    return tuple(HashtagCount(tag=tag, count=count) for tag, count in _count_uses(post).items())


def _count_uses(post: Post) -> dict[str, int]:
    return hashtag_uses(post.content, [tag.name for tag in post.tags]) if post.tags else {}


def hashtag_uses(content: str, names: Iterable[str]) -> dict[str, int]:
    """Return how often an HTML text uses each of the named hashtags, by their normalised spelling.

    A use is what Mastodon takes for a hashtag in the text that a reader sees
    (:func:`~mastostream.plain_text`): ``#``, also full-width, and a name of letters, marks,
    digits, ``_`` and, between those, ``·``, ``・`` and ZWNJ; digits alone are no name. So
    ``#python's`` uses ``python``, and ``#日本、東京`` uses ``日本``. A ``#`` begins no use after
    a letter, a digit, ``=``, ``/`` or ``)``, and in the address of a page. A hashtag without a use
    in the text, such as one that a server keeps beside it, counts as used once.

    Takes linear time, whatever the text is.

    Source: ``HASHTAG_RE`` (``app/models/tag.rb``) and ``app/lib/extractor.rb`` of Mastodon 4.5,
    with Unicode 15.0. From 4.6 on, Mastodon itself wants white space before the ``#``; other
    servers do not, and neither do older posts.

    Args:
        content: HTML, as in ``Post.content``.
        names: the names of the hashtags, as in ``Post.tags``.
    """
    counts = dict.fromkeys(map(normalize_hashtag, names), 1)
    counts.pop("", None)
    if _uses_none_twice(content):
        return counts
    uses = Counter(hashtags_in(content))
    return {tag: uses[tag] or 1 for tag in counts}


def _uses_none_twice(content: str) -> bool:
    """Return whether it is certain that an HTML text uses no hashtag more than once.

    Most texts are certain, and are told in a fraction of the time that it takes to read the HTML.
    Wherever a ``#`` stands, in the text or in a tag, it can only be a use of a hashtag that begins
    with the ASCII word after it. If no two of these words begin in the same way, no two uses are of
    one hashtag.
    """
    if "&" in content:
        # The only numeric reference that Mastodon writes. Others, and `&num;`, may be a `#`.
        content = content.replace("&#39;", "'")
        if "&#" in content or "&num;" in content:
            return False
    words = _HASH_AND_WORD.findall(content)
    if len(words) != content.count("#") or "\uff03" in content or "\0" in content:
        return False
    starts = sorted(
        [f"{word}#".lower() if ends else _UNCERTAIN.sub("", word.lower()) for word, ends in words]
    )
    return not any(map(str.startswith, starts[1:], starts))


def hashtags_in(content: str) -> list[str]:
    """Return the hashtags that an HTML text uses, normalised, each as often as it is used.

    :func:`hashtag_uses` says what a use is.
    """
    text = plain_text(content)
    if "://" in text:
        text = _ADDRESS.sub("://", text)
    tags = []
    for use in _use().finditer(text):
        name = _name(use[1])
        if text.startswith("://", use.start(1) + len(name)):
            name = _SCHEME.sub("", name)
        if name:
            tags.append(normalize_hashtag(name))
    return tags


@cache
def _use() -> re.Pattern[str]:
    """Return what matches ``#`` and all that may belong to a hashtag's name after it.

    Made at first use, in 20 ms. ASCII characters come first: the classes of all of Unicode take ten
    times as long to say no.
    """
    return re.compile(
        rf"[{_HASH}] (?: (?<= [ \n>(\"'][{_HASH}] ) | (?<! [=/){alphanumeric_class()}][{_HASH}] ) )"
        rf"( [0-9A-Za-z_]++ (?![^\x00-\x7f]) | [{word_class()}] [{word_class()}{_SEPARATORS}]* )",
        re.VERBOSE,
    )


def _name(run: str) -> str:
    """Return the name with which a run of word characters and separators begins; may be empty.

    That is what ``HASHTAG_NAME_PAT`` takes of it: all but separators at the end, if there is a
    letter, a separator, or ``_`` between two other characters.
    """
    if run.isascii() and run.isalpha():
        return run
    name = run.rstrip(_SEPARATORS)
    return name if "_" in name[1:-1] or _letter_or_separator().search(name) else ""


@cache
def _letter_or_separator() -> re.Pattern[str]:
    return re.compile(f"[{_SEPARATORS}]|(?![{decimal_digit_class()}])[{alphanumeric_class()}]")


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
        observed_at=post.observed_at if stamp is None else stamp.observed_at,
        id=post.id,
        instance="" if stamp is None else stamp.instance,
        account=account_name(post),
        language=stated_language(post),
        created_at=post.created_at,
        hashtags=tuple(counts),
        hashtag_counts=tuple(counts.values()),
    )
