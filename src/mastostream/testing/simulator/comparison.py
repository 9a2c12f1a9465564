"""Compares what a tool holds with what it should hold. Any tool's: it knows none."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs

from mastostream.testing.simulator.ground_truth import ExpectedPost, GroundTruth
from mastostream.testing.simulator.posts import Counts

__all__ = ["CheckResult", "HeldPost", "compare"]

_SHOWN: Final = 5
_KINDS: Final = ("lost", "extra", "repeated", "wrong_text", "wrong_counts", "undeleted")


@attrs.frozen(kw_only=True)
class HeldPost:
    """A post as a tool holds it in the end.

    Attributes:
        key: what the tool calls it.
        quotes_count: ``None`` where the server does not say.
    """

    key: str
    content: str
    favourites_count: int
    reblogs_count: int
    replies_count: int
    quotes_count: int | None = None


@attrs.frozen(kw_only=True)
class CheckResult:
    """How what is held differs from what should be. The differences are keys.

    Attributes:
        expected: how many posts must be held.
        held: how many are.
        lost: must be held, and are not.
        extra: were never written, or not with these hashtags, or were gone before.
        repeated: held, or logged as new, more than once.
        wrong_text: held with an old text.
        wrong_counts: held with engagement that they did not have when they were to be read last,
            nor later.
        undeleted: held, and deleted where they were written.
    """

    expected: int
    held: int
    lost: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    wrong_text: tuple[str, ...] = ()
    wrong_counts: tuple[str, ...] = ()
    undeleted: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return not any(getattr(self, kind) for kind in _KINDS)

    def __str__(self) -> str:
        rows = [("expected", str(self.expected)), ("held", str(self.held))]
        for kind in _KINDS:
            keys = getattr(self, kind)
            some = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
            rows.append((kind.replace("_", " "), f"{len(keys):<6} {some}".rstrip()))
        return "\n".join(f"{name:<13} {told}" for name, told in rows)


def compare(
    truth: GroundTruth, held: Iterable[HeldPost], new_keys: Iterable[str] = ()
) -> CheckResult:
    """Compare.

    Args:
        truth: what should be held; see ``Fediverse.truth``.
        held: what is, in the end.
        new_keys: the keys in the order in which they were logged as ``new``, to find repeats.
    """
    posts = {}
    times: Counter[str] = Counter()
    for post in held:
        posts[post.key] = post
        times[post.key] += 1
    known = truth.posts.keys() | truth.deleted | truth.optional
    both = [(truth.posts[key], post) for key, post in posts.items() if key in truth.posts]
    repeated = [
        key for counter in (times, Counter(iter(new_keys))) for key, n in counter.items() if n > 1
    ]
    return CheckResult(
        expected=len(truth.posts),
        held=sum(times.values()),
        lost=tuple(key for key in truth.posts if key not in posts),
        extra=tuple(key for key in posts if key not in known),
        repeated=tuple(dict.fromkeys(repeated)),
        wrong_text=tuple(right.key for right, post in both if not _text_is_right(right, post)),
        wrong_counts=tuple(right.key for right, post in both if not _counts_are_right(right, post)),
        undeleted=tuple(key for key in posts if key in truth.deleted),
    )


def _text_is_right(right: ExpectedPost, post: HeldPost) -> bool:
    return post.content == right.content or post.content in right.also


def _counts_are_right(right: ExpectedPost, post: HeldPost) -> bool:
    held = Counts(
        favourites=post.favourites_count,
        reblogs=post.reblogs_count,
        replies=post.replies_count,
        quotes=right.least.quotes if post.quotes_count is None else post.quotes_count,
    )
    bounds = (attrs.astuple(right.least), attrs.astuple(held), attrs.astuple(right.most))
    return all(least <= count <= most for least, count, most in zip(*bounds, strict=True))
